"""Checks of writes that need no state: what etcd refuses before it looks (etcd server/etcdserver/api/v3rpc/key.go)."""

from collections.abc import Iterable

from brainctl.errors import (
    DUPLICATE_KEY,
    EMPTY_KEY,
    KEY_NOT_FOUND,
    LEASE_PROVIDED,
    TOO_MANY_OPS,
    VALUE_PROVIDED,
    ApiError,
)
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.ranges import check_range

MAX_TXN_OPS = 128
"""Operations per transaction: etcd's default of --max-txn-ops."""


def check_put(request: pb.PutRequest) -> None:
    """Refuse a put that is malformed.

    Raises:
        ApiError: It has no key, or gives a value or a lease although it says to keep the present one.
    """
    if not request.key:
        raise ApiError(EMPTY_KEY)
    if request.ignore_value and request.value:
        raise ApiError(VALUE_PROVIDED)
    if request.ignore_lease and request.lease:
        raise ApiError(LEASE_PROVIDED)


def check_delete(request: pb.DeleteRangeRequest) -> None:
    """Refuse a delete that is malformed.

    Raises:
        ApiError: It has no key.
    """
    if not request.key:
        raise ApiError(EMPTY_KEY)


def check_txn(request: pb.TxnRequest, max_ops: int = MAX_TXN_OPS) -> None:
    """Refuse a transaction that is malformed.

    Raises:
        ApiError: It has too many operations, one of them is malformed, or one branch writes a key twice.
    """
    _check_operations(request, max_ops)
    _check_intervals(request.success)
    _check_intervals(request.failure)


def _check_operations(request: pb.TxnRequest, max_ops: int) -> None:
    """Refuse a transaction with too many operations on a path through its levels, or with a malformed one."""
    # As in etcd, the limit is for a path through the levels: a nested transaction may use what the longest of the
    # three lists of this level leaves.
    left = max_ops - max(len(request.compare), len(request.success), len(request.failure))
    if left < 0:
        raise ApiError(TOO_MANY_OPS)
    if not all(compare.key for compare in request.compare):
        raise ApiError(EMPTY_KEY)
    for operations in (request.success, request.failure):
        for operation in operations:
            _check_operation(operation, left)


def _check_operation(operation: pb.RequestOp, max_ops: int) -> None:
    """Refuse a malformed operation; `max_ops` is the limit for a nested transaction."""
    match operation.WhichOneof("request"):
        case "request_range":
            check_range(operation.request_range)
        case "request_put":
            check_put(operation.request_put)
        case "request_delete_range":
            check_delete(operation.request_delete_range)
        case "request_txn":
            _check_operations(operation.request_txn, max_ops)
        case _:
            raise ApiError(KEY_NOT_FOUND)


class _Intervals:
    r"""The ranges that one branch deletes. An end of b"\0" matches no key here, as in etcd."""

    def __init__(self) -> None:
        self.ranges: list[tuple[bytes, bytes]] = []

    def cover(self, key: bytes) -> bool:
        return any(start <= key < end for start, end in self.ranges)


def _check_intervals(operations: Iterable[pb.RequestOp]) -> tuple[set[bytes], _Intervals]:
    """Return the keys put and the ranges deleted by one branch, nested transactions included.

    Raises:
        ApiError: A key is put twice, or put and deleted.
    """
    deletes = _Intervals()
    puts: set[bytes] = set()
    nested: list[pb.TxnRequest] = []
    own: list[bytes] = []
    for operation in operations:
        match operation.WhichOneof("request"):
            case "request_delete_range":
                request = operation.request_delete_range
                deletes.ranges.append((request.key, request.range_end or request.key + b"\0"))
            case "request_txn":
                nested.append(operation.request_txn)
            case "request_put":
                own.append(operation.request_put.key)
            case _:
                pass
    for txn in nested:
        puts_then, deletes_then = _check_intervals(txn.success)
        puts_else, deletes_else = _check_intervals(txn.failure)
        # The two branches exclude each other, so they may put the same key.
        for key in puts_then | puts_else:
            if key in puts or deletes.cover(key):
                raise ApiError(DUPLICATE_KEY)
        puts |= puts_then | puts_else
        deletes.ranges += deletes_then.ranges + deletes_else.ranges
    for key in own:
        if key in puts or deletes.cover(key):
            raise ApiError(DUPLICATE_KEY)
        puts.add(key)
    return puts, deletes
