"""The size of a write, in keys: a long one is evaluated in slices, a short one at once."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.ranges import bounds, has_filters, is_plain

LONG_KEYS: Final = 1024
"""Keys: a request that touches more than this is long."""

LARGE_CHANGES: Final = 4096
"""Changes: a commit with more than this is laid out, shown and sent to watchers in steps.

A thousand clients that put at the same moment do not reach it.
"""

Count = Callable[[bytes, bytes | None], int]
"""Returns the number of live keys of a range, in about the time of a lookup."""


def is_long(request: Message, count: Count) -> bool:
    """Return whether a DeleteRangeRequest or TxnRequest is long; of a transaction both branches count."""
    left = LONG_KEYS
    for keys in _weights(request, count):
        left -= keys
        if left < 0:
            return True
    return False


def _weights(request: Message, count: Count) -> Iterator[int]:
    """Yield the number of keys that each part of a request touches, about."""
    match request:
        case pb.DeleteRangeRequest():
            yield _range(request, count)
        case pb.RangeRequest() if request.count_only:
            yield 1
        case pb.RangeRequest():
            live = _range(request, count)
            plain = is_plain(request) or (request.keys_only and not has_filters(request) and not request.sort_target)
            yield min(live, request.limit) if plain and request.limit > 0 else live
        case pb.TxnRequest():
            for compare in request.compare:
                yield _range(compare, count)
            for operation in _operations(request):
                kind = operation.WhichOneof("request")
                yield 1
                if kind is not None and kind != "request_put":
                    yield from _weights(getattr(operation, kind), count)
        case _:
            pass


def _operations(request: pb.TxnRequest) -> Iterable[pb.RequestOp]:
    return chain(request.success, request.failure)


def _range(request: pb.DeleteRangeRequest | pb.RangeRequest | pb.Compare, count: Count) -> int:
    return count(*bounds(request.key, request.range_end)) if request.range_end else 1
