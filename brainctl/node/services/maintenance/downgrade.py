"""Maintenance.Downgrade: the bookkeeping of a downgrade, as etcd does it before anything is converted.

An enabled downgrade is kept in a small record, shown by the status and cancelled on request. There is nothing to
convert: the cluster version stays, since a snapshot is how data gets back into an etcd of any release.
"""

import re

from google.protobuf.message import DecodeError

from brainctl.errors import (
    DOWNGRADE_IN_PROGRESS,
    DOWNGRADE_VERSION_INVALID,
    DOWNGRADE_VERSION_MALFORMED,
    UNKNOWN_METHOD,
    ApiError,
)
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.node.backend import Backend, Reply
from brainctl.node.handler import Handler, refusal

DOWNGRADE = b"downgrade"
"""The name of the small record with the target version of an enabled downgrade, in ASCII."""
CLUSTER_VERSION = "3.7"
"""The version of the cluster in responses."""
_TARGET = (3, 6)
"""The only release that a downgrade may go to: the one before CLUSTER_VERSION."""
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.\d+(?:-[0-9A-Za-z.-]*)?(?:\+[0-9A-Za-z.-]*)?)?", re.ASCII)


class DowngradeService:
    """Maintenance.Downgrade over a backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by path."""
        return {"/etcdserverpb.Maintenance/Downgrade": self.downgrade}

    def info(self) -> pb.DowngradeInfo:
        """Return the downgrade as Maintenance.Status shows it."""
        target = self._backend.record(DOWNGRADE)
        return pb.DowngradeInfo(enabled=True, targetVersion=target.decode()) if target else pb.DowngradeInfo()

    def downgrade(self, body: bytes, reply: Reply) -> None:
        """Serve Maintenance.Downgrade: validate a target version, enable a downgrade to it, or cancel it."""
        try:
            request = pb.DowngradeRequest.FromString(body)
        except DecodeError as error:
            reply(refusal(error))
            return
        self._backend.submit(_evaluate, request, reply)


def _evaluate(batch: Batch, request: pb.DowngradeRequest) -> bytes:
    """Stage a downgrade or its end, and return the marshalled DowngradeResponse."""
    match request.action:
        case pb.DowngradeRequest.VALIDATE:
            _check_target(batch, request.version)
        case pb.DowngradeRequest.ENABLE:
            batch.set_record(DOWNGRADE, _check_target(batch, request.version).encode())
        case pb.DowngradeRequest.CANCEL:
            if batch.record(DOWNGRADE) is not None:
                batch.set_record(DOWNGRADE, None)
        case _:
            raise ApiError(UNKNOWN_METHOD)
    response = pb.DowngradeResponse(version=CLUSTER_VERSION)
    return batch.header(batch.revision) + response.SerializeToString()


def _check_target(batch: Batch, version: str) -> str:
    """Return the target version as it is stored.

    Raises:
        ApiError: The version is malformed or not the previous minor release, or a downgrade is enabled already.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ApiError(DOWNGRADE_VERSION_MALFORMED)
    if (int(match[1]), int(match[2])) != _TARGET:
        raise ApiError(DOWNGRADE_VERSION_INVALID)
    if batch.record(DOWNGRADE) is not None:
        raise ApiError(DOWNGRADE_IN_PROGRESS)
    return f"{_TARGET[0]}.{_TARGET[1]}.0"
