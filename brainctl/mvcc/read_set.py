"""List the reads of a request, which a store over a network loads before it evaluates a batch."""

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.ranges import Count, Scan, Select, bounds, needed


class First(NamedTuple):
    """A request needs the first live versions of a range."""

    start: bytes
    end: bytes | None
    revision: int = 0
    limit: int = 0
    """The most of them; 0 for all."""

    @property
    def is_key(self) -> bool:
        """Return whether the range is the newest version of a single key."""
        return not self.revision and self.end == self.start + b"\0"


Read = First | Count


def footprint(request: Message) -> list[Read]:
    """Return what a write reads of the state: in both branches of a transaction, at every depth.

    A range with a limit needs its first keys and the number of all, a count needs the number alone.
    """
    return list(_reads(request))


def _reads(request: Message) -> Iterator[Read]:
    if isinstance(request, pb.PutRequest):
        yield First(*bounds(request.key, b""))
    elif isinstance(request, pb.DeleteRangeRequest):
        yield First(*bounds(request.key, request.range_end))
    elif isinstance(request, pb.RangeRequest):
        yield from _of_range(request)
    elif isinstance(request, pb.TxnRequest):
        for compare in request.compare:
            yield First(*bounds(compare.key, compare.range_end))
        for operations in (request.success, request.failure):
            for operation in operations:
                kind = operation.WhichOneof("request")
                if kind is not None:
                    yield from _reads(getattr(operation, kind))


def _of_range(request: pb.RangeRequest) -> Iterator[Read]:
    revision = max(request.revision, 0)
    start, end = bounds(request.key, request.range_end)
    if not request.range_end:
        yield First(start, end, revision)
        return
    match needed(request, revision):
        case Count() as count:
            yield count
        case Select(limit=limit):
            # One more than wanted tells whether there are others, which then must be counted.
            yield from _limited(start, end, revision, limit + 1 if limit else 0)
        case Scan(limit=limit):
            yield from _limited(start, end, revision, limit)


def _limited(start: bytes, end: bytes | None, revision: int, limit: int) -> Iterator[Read]:
    yield First(start, end, revision, limit)
    if limit:
        yield Count(start, end, revision)
