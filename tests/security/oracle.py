"""What a user may do, said as plainly as possible: the oracle of the permission tests.

The space of keys is cut at every point that is named anywhere; between two neighbouring points all keys are alike. A
range is covered when each piece of it lies in one of the granted ranges. Nothing is joined, sorted or searched.
"""

from itertools import pairwise

from brainctl.etcdpb import rpc_pb2 as pb

READ, WRITE, READWRITE = 0, 1, 2
END = b"\xff" * 64
"""Greater than every key of the tests."""
Grant = tuple[int, bytes, bytes]
Need = tuple[int, bytes, bytes]


def extent(key: bytes, range_end: bytes) -> tuple[bytes, bytes]:
    return key, {b"": key + b"\0", b"\0": END}.get(range_end, range_end)


def allowed(grants: list[Grant], need: Need) -> bool:
    kind, key, range_end = need
    held = [extent(start, end) for granted, start, end in grants if granted in {kind, READWRITE}]
    start, end = extent(key, range_end)
    if end <= start:  # holds no key: brainctl asks whether it may start there
        end = start + b"\0"
    points = sorted({point for one in [*held, (start, end)] for point in one})
    pieces = [(a, b) for a, b in pairwise(points) if start <= a and b <= end]
    return all(any(low <= a and b <= high for low, high in held) for a, b in pieces)


def is_empty(need: Need) -> bool:
    """Whether the range holds no key. What etcd answers then depends on the shape of its tree of permissions."""
    start, end = extent(need[1], need[2])
    return end <= start


def needs(operation: pb.RequestOp) -> list[Need]:
    """Everything that an operation does to keys, done or not."""
    if operation.HasField("request_range"):
        return [(READ, operation.request_range.key, operation.request_range.range_end)]
    if operation.HasField("request_put"):
        put = operation.request_put
        return [(kind, put.key, b"") for kind in ([WRITE, READ] if put.prev_kv else [WRITE])]
    if operation.HasField("request_delete_range"):
        delete = operation.request_delete_range
        return [(kind, delete.key, delete.range_end) for kind in ([WRITE, READ] if delete.prev_kv else [WRITE])]
    return txn_needs(operation.request_txn)


def txn_needs(txn: pb.TxnRequest) -> list[Need]:
    found = [(READ, compare.key, compare.range_end) for compare in txn.compare]
    return found + [need for operation in (*txn.success, *txn.failure) for need in needs(operation)]
