"""Make the responses to reads from the state at one moment."""

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.header import Header
from brainctl.mvcc.ranges import bounds, check_revision, full_response, is_plain, plain_response, response
from brainctl.tikv.group_commit import Records, Write, evaluate_group
from brainctl.tikv.state_view import StateView


async def answer_range(view: StateView, request: pb.RangeRequest, header: bytes) -> bytes:
    """Return the marshalled RangeResponse to a request that was checked.

    Raises:
        ApiError: the revision is compacted, or in the future.
        TikvFailed: TiKV does not answer.
    """
    check_revision(request.revision, view.revision, view.compacted)
    revision = max(request.revision, 0)
    start, end = bounds(request.key, request.range_end)
    if request.count_only:
        return response(header, [], await view.count(start, end, revision), more=False)
    if is_plain(request):
        selection = await view.select(start, end, revision, max(request.limit, 0))
        return plain_response(header, request, selection)
    versions = [version async for version in view.versions(start, end, revision)]
    return full_response(header, request, versions)


async def answer_reads(view: StateView, request: pb.TxnRequest, records: Records, header: Header) -> bytes:
    """Return the marshalled TxnResponse to a transaction that only reads.

    Raises:
        ApiError: the transaction is refused, for example because a revision is compacted.
        TikvFailed: TiKV does not answer.
    """
    write = Write(Batch.txn, request, lambda _: None)
    evaluated = await evaluate_group([write], view, records, header)
    (answer,) = evaluated.answers
    if isinstance(answer, bytes):
        return answer
    raise answer
