"""Requests to a medium as calls that are awaited."""

import asyncio
from typing import TypeVar

from google.protobuf.message import Message

from brainctl.errors import BrainctlError
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.tikv.medium import TikvMedium
from brainctl.tikv.view import StateView
from tests.support import evaluate

Answer = TypeVar("Answer", bound=Message)
EVALUATE = {
    pb.PutRequest: (Batch.put, pb.PutResponse),
    pb.DeleteRangeRequest: (Batch.delete_range, pb.DeleteRangeResponse),
    pb.TxnRequest: (evaluate.txn, pb.TxnResponse),
    pb.CompactionRequest: (Batch.compact, pb.CompactionResponse),
}


class Waiting:
    """A reply that is waited for; the medium must give it exactly once."""

    def __init__(self) -> None:
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def __call__(self, answer: bytes | BrainctlError) -> None:
        if isinstance(answer, BrainctlError):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


def send(medium: TikvMedium, request: Message) -> asyncio.Future[bytes]:
    """Submit a write; its marshalled answer."""
    waiting = Waiting()
    medium.submit(EVALUATE[type(request)][0], request, waiting)
    return waiting.future


async def write(medium: TikvMedium, request: Message) -> Message:
    return EVALUATE[type(request)][1].FromString(await asyncio.wait_for(send(medium, request), 120))


async def put(medium: TikvMedium, key: bytes, value: bytes = b"v", lease: int = 0) -> int:
    """The revision of a put."""
    answer = await write(medium, pb.PutRequest(key=key, value=value, lease=lease))
    return answer.header.revision


async def delete(medium: TikvMedium, key: bytes, end: bytes = b"") -> int:
    return (await write(medium, pb.DeleteRangeRequest(key=key, range_end=end))).header.revision


async def compact(medium: TikvMedium, revision: int) -> None:
    await write(medium, pb.CompactionRequest(revision=revision))


async def read(medium: TikvMedium, key: bytes, end: bytes = b"", **fields: int) -> pb.RangeResponse:
    waiting = Waiting()
    medium.range(pb.RangeRequest(key=key, range_end=end, **fields), waiting)
    return pb.RangeResponse.FromString(await asyncio.wait_for(waiting.future, 120))


async def value(medium: TikvMedium, key: bytes) -> bytes | None:
    found = (await read(medium, key)).kvs
    return found[0].value if found else None


async def state_of(medium: TikvMedium) -> StateView:
    """The state in TiKV now."""
    return await medium._reads.state()


async def listed(view: object, revision: int = 0) -> list[kv_pb2.KeyValue]:
    return [kv_pb2.KeyValue.FromString(v.kv) async for v in view.versions(b"\x00", None, revision)]


async def history(view: object, first: int, last: int) -> list[tuple[int, list[KeyVersion]]]:
    return [(one.main, one.changes) async for one in view.history(first, last)]
