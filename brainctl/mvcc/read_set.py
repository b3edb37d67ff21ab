"""The keys that a request may read: what a store over a network loads before it evaluates a batch."""

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.ranges import bounds

Range = tuple[bytes, bytes | None]


def footprint(request: Message) -> list[Range]:
    """Return every range of which a write needs the current state: both branches of a transaction, at every depth."""
    if isinstance(request, pb.PutRequest):
        return [bounds(request.key, b"")]
    if isinstance(request, pb.DeleteRangeRequest | pb.RangeRequest):
        return [bounds(request.key, request.range_end)]
    ranges: list[Range] = []
    if isinstance(request, pb.TxnRequest):
        _collect(request, ranges)
    return ranges


def _collect(request: pb.TxnRequest, ranges: list[Range]) -> None:
    """Add the ranges of a transaction, nested ones included, to `ranges`."""
    ranges += [bounds(compare.key, compare.range_end) for compare in request.compare]
    for operations in (request.success, request.failure):
        for operation in operations:
            match operation.WhichOneof("request"):
                case "request_range":
                    ranges += footprint(operation.request_range)
                case "request_put":
                    ranges += footprint(operation.request_put)
                case "request_delete_range":
                    ranges += footprint(operation.request_delete_range)
                case "request_txn":
                    _collect(operation.request_txn, ranges)
                case _:
                    pass
