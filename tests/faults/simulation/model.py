"""etcd the plain way: every version of every key in a list, requests evaluated one after the other.

Nothing of brainctl's own rules is in here but the texts of errors; the contract suite proves those on a real etcd.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message

from brainctl import errors
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb

LEASE_SECONDS_MIN = 2


class Refused(Exception):
    """The answer to a request is this text."""


class Version(NamedTuple):
    """A key as one revision left it; a tombstone has version 0."""

    key: bytes
    create: int
    mod: int
    version: int
    value: bytes = b""
    lease: int = 0

    def kv(self) -> kv_pb2.KeyValue:
        if not self.version:
            return kv_pb2.KeyValue(key=self.key, mod_revision=self.mod)
        return kv_pb2.KeyValue(
            key=self.key,
            create_revision=self.create,
            mod_revision=self.mod,
            version=self.version,
            value=self.value,
            lease=self.lease,
        )


class Mark(NamedTuple):
    """What a store shows of itself after a request; the versions of keys follow from the revision."""

    revision: int
    compacted: int
    leases: tuple[tuple[int, int], ...]


class Model:
    """A store, and what it was after each request that changed it."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.leases: dict[int, int] = {}
        self.keys: dict[bytes, list[Version]] = {}
        self.log: list[Version] = []
        self.marks: list[Mark] = [self.mark()]
        """`marks[n]` is the state after n requests."""

    def mark(self) -> Mark:
        return Mark(self.revision, self.compacted, tuple(sorted(self.leases.items())))

    def roll_back(self, count: int) -> None:
        """Forget all requests but the first `count`."""
        self.revision, self.compacted, leases = self.marks[count]
        self.leases = dict(leases)
        del self.marks[count + 1 :]
        while self.log and self.log[-1].mod > self.revision:
            self.keys[self.log.pop().key].pop()

    # -- reads --------------------------------------------------------------------------------------------------

    def get(self, key: bytes, revision: int = 0) -> Version | None:
        for found in reversed(self.keys.get(key, ())):
            if not revision or found.mod <= revision:
                return found if found.version else None
        return None

    def range(self, key: bytes, end: bytes, revision: int = 0) -> list[Version]:
        return [found for one in sorted(self.keys) if inside(one, key, end) and (found := self.get(one, revision))]

    def history(self, first: int, last: int) -> list[Version]:
        at = len(self.log)
        while at and self.log[at - 1].mod >= first:
            at -= 1
        return [version for version in self.log[at:] if version.mod <= last]

    # -- writes -------------------------------------------------------------------------------------------------

    def apply(self, request: Any) -> Message:
        """Do what a write asks; the response, with the revision as its header. Refused."""
        try:
            response: Message = getattr(self, f"_{type(request).__name__}")(request)
        finally:
            self.marks.append(self.mark())
        if not isinstance(response, pb.LeaseKeepAliveResponse):
            response.header.revision = self.revision  # type: ignore[attr-defined]
        return response

    def _PutRequest(self, request: pb.PutRequest) -> pb.PutResponse:  # noqa: N802
        self._check_lease(request)
        response = self._put(request, self.revision + 1)
        self.revision += 1
        return response

    def _DeleteRangeRequest(self, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:  # noqa: N802
        response = self._delete(request, self.revision + 1)
        self.revision += bool(response.deleted)
        return response

    def _TxnRequest(self, request: pb.TxnRequest) -> pb.TxnResponse:  # noqa: N802
        succeeded = all(self._holds(compare) for compare in request.compare)
        operations = request.success if succeeded else request.failure
        for operation in operations:
            if operation.HasField("request_put"):
                self._check_lease(operation.request_put)
        before = len(self.log)
        response = pb.TxnResponse(succeeded=succeeded)
        for operation in operations:
            response.responses.append(self._operation(operation, before))
        self.revision += len(self.log) > before
        return response

    def _CompactionRequest(self, request: pb.CompactionRequest) -> pb.CompactionResponse:  # noqa: N802
        if request.revision <= self.compacted:
            raise Refused(errors.COMPACTED.message)
        if request.revision > self.revision:
            raise Refused(errors.FUTURE_REVISION.message)
        self.compacted = request.revision
        return pb.CompactionResponse()

    def _LeaseGrantRequest(self, request: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:  # noqa: N802
        if request.ID in self.leases:
            raise Refused(errors.LEASE_EXISTS.message)
        self.leases[request.ID] = max(request.TTL, LEASE_SECONDS_MIN)
        return pb.LeaseGrantResponse(ID=request.ID, TTL=self.leases[request.ID])

    def _LeaseRevokeRequest(self, request: pb.LeaseRevokeRequest) -> pb.LeaseRevokeResponse:  # noqa: N802
        if request.ID not in self.leases:
            raise Refused(errors.LEASE_NOT_FOUND.message)
        del self.leases[request.ID]
        attached = [one for one in self.range(b"\0", b"\0") if one.lease == request.ID]
        for version in attached:
            self._append(Version(version.key, 0, self.revision + 1, 0))
        self.revision += bool(attached)
        return pb.LeaseRevokeResponse()

    # -- operations ---------------------------------------------------------------------------------------------

    def _check_lease(self, request: pb.PutRequest) -> None:
        if request.lease and request.lease not in self.leases:
            raise Refused(errors.LEASE_NOT_FOUND.message)

    def _holds(self, compare: pb.Compare) -> bool:
        found = self.get(compare.key)
        actual = (found.version if found else 0) if compare.target == pb.Compare.VERSION else found.mod if found else 0
        wanted = compare.version if compare.target == pb.Compare.VERSION else compare.mod_revision
        match compare.result:
            case pb.Compare.EQUAL:
                return actual == wanted
            case pb.Compare.GREATER:
                return actual > wanted
            case pb.Compare.LESS:
                return actual < wanted
        return actual != wanted

    def _operation(self, operation: pb.RequestOp, before: int) -> pb.ResponseOp:
        revision = self.revision + 1
        response = pb.ResponseOp()
        if operation.HasField("request_put"):
            response.response_put.CopyFrom(self._put(operation.request_put, revision))
            inner: Any = response.response_put
        elif operation.HasField("request_delete_range"):
            response.response_delete_range.CopyFrom(self._delete(operation.request_delete_range, revision))
            inner = response.response_delete_range
        else:
            asked = operation.request_range
            found = self.range(asked.key, asked.range_end)
            response.response_range.kvs.extend(version.kv() for version in found)
            response.response_range.count = len(found)
            inner = response.response_range
        inner.header.revision = revision if len(self.log) > before else self.revision
        return response

    def _put(self, request: pb.PutRequest, revision: int) -> pb.PutResponse:
        old = self.get(request.key)
        create, number = (old.create, old.version + 1) if old else (revision, 1)
        self._append(Version(request.key, create, revision, number, request.value, request.lease))
        return pb.PutResponse(prev_kv=old.kv()) if old and request.prev_kv else pb.PutResponse()

    def _delete(self, request: pb.DeleteRangeRequest, revision: int) -> pb.DeleteRangeResponse:
        gone = self.range(request.key, request.range_end)
        for version in gone:
            self._append(Version(version.key, 0, revision, 0))
        shown = [version.kv() for version in gone] if request.prev_kv else []
        return pb.DeleteRangeResponse(deleted=len(gone), prev_kvs=shown)

    def _append(self, version: Version) -> None:
        self.keys.setdefault(version.key, []).append(version)
        self.log.append(version)


def inside(key: bytes, start: bytes, end: bytes) -> bool:
    """Whether a key is in the range that a request names."""
    return key == start if not end else start <= key and (end == b"\0" or key < end)


def matching(marks: Sequence[Mark], first: int, shown: Mark) -> int | None:
    """The number of requests, `first` at least, after which a store shows this; None when it never does."""
    return next((count for count in range(first, len(marks)) if marks[count] == shown), None)
