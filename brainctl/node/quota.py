"""The space quota: how large a store may be for a write that takes room (etcd server/storage/quota.go).

The size is that of the durable data. Writes that are in flight when it is read may exceed the quota by as much as one
group commit carries.
"""

from collections.abc import Callable

from google.protobuf.message import DecodeError

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.commit import Commit
from brainctl.node.backend import Backend
from brainctl.node.options import QUOTA_DEFAULT_BYTES

_KEY_OVERHEAD = 256
"""The bytes that etcd charges for a key beside its key and value (etcd server/storage/quota.go)."""
_LEASE_OVERHEAD = 64
"""The bytes that etcd charges for a lease."""
_OPERATION_BYTES = 4
"""The least number of bytes that a put takes in a marshalled transaction."""
_UNLIMITED = 1 << 62
"""A length that no request reaches: everything fits."""


def fitting(room: int) -> int:
    """Return the length in bytes up to which any request fits into `room` bytes, whatever is in it.

    The worst case is a transaction of the shortest possible puts, each of which is charged _KEY_OVERHEAD.
    """
    return (room - 1 - _KEY_OVERHEAD) // (1 + _KEY_OVERHEAD // _OPERATION_BYTES)


class Quota:
    """The room that a store has left below its quota."""

    def __init__(self, backend: Backend, quota_bytes: int | None) -> None:
        """Create the quota of a backend.

        Args:
            backend: The store.
            quota_bytes: 0 is the default (QUOTA_DEFAULT_BYTES), negative or None no limit.
        """
        self._backend = backend
        self.bytes = 0 if quota_bytes is None else quota_bytes or QUOTA_DEFAULT_BYTES
        """The quota as Maintenance.Status reports it; not positive when there is no limit."""
        self.short = _UNLIMITED
        """Requests up to this length in bytes fit without a look at them: it saves parsing each one to price it."""
        if self.bytes > 0:
            self._measure()
            backend.subscribe(self._publish)

    def admits(self, path: str, body: bytes) -> bool:
        """Return whether there is room for a request; `path` is one of COSTS."""
        if self.bytes <= 0:
            return True
        self._measure()
        cost = COSTS[path](body)
        return not cost or self._backend.size + cost < self.bytes

    def _measure(self) -> None:
        self.short = fitting(self.bytes - self._backend.size)

    def _publish(self, commit: Commit) -> None:
        del commit
        self._measure()


def _grant_cost(body: bytes) -> int:
    del body
    return _LEASE_OVERHEAD


def _put_cost(body: bytes) -> int:
    """Return the charge of a marshalled PutRequest, in bytes."""
    try:
        return _put(pb.PutRequest.FromString(body))
    except DecodeError:
        return 0  # it is malformed: the handler refuses it with the right error


def _txn_cost(body: bytes) -> int:
    """Return the charge of a marshalled TxnRequest, in bytes."""
    try:
        return _txn(pb.TxnRequest.FromString(body))
    except DecodeError:
        return 0


def _put(request: pb.PutRequest) -> int:
    return _KEY_OVERHEAD + len(request.key) + len(request.value)


def _txn(request: pb.TxnRequest) -> int:
    """Return the charge of the more expensive branch: which one will run is not known yet."""
    return max(sum(map(_operation, branch)) for branch in (request.success, request.failure))


def _operation(operation: pb.RequestOp) -> int:
    """Return the charge of one operation of a transaction; ranges and deletes are free."""
    match operation.WhichOneof("request"):
        case "request_put":
            return _put(operation.request_put)
        case "request_txn":
            return _txn(operation.request_txn)
        case _:
            return 0


COSTS: dict[str, Callable[[bytes], int]] = {
    "/etcdserverpb.KV/Put": _put_cost,
    "/etcdserverpb.KV/Txn": _txn_cost,
    "/etcdserverpb.Lease/LeaseGrant": _grant_cost,
}
"""Bytes that a marshalled request is charged, by path; 0 when it takes no room."""
