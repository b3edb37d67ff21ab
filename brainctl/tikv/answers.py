"""Make the responses to reads from the state at one moment."""

import asyncio
from functools import partial

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.header import Header
from brainctl.mvcc.ranges import answer_remotely, check_revision
from brainctl.tikv.group_commit import Records, Write, evaluate_group
from brainctl.tikv.state_view import StateView


async def answer_range(view: StateView, request: pb.RangeRequest, header: bytes) -> bytes:
    """Return the marshalled RangeResponse to a request that was checked.

    Raises:
        ApiError: the revision is compacted, or in the future.
        TikvFailed: TiKV does not answer.
    """
    check_revision(request.revision, view.revision, view.compacted)
    return await answer_remotely(view, request, header, max(request.revision, 0), partial(asyncio.sleep, 0))


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
