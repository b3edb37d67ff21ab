"""Requests to a backend as calls that are awaited."""

import asyncio
from typing import TypeVar

from google.protobuf.message import Message

from brainctl.errors import BrainctlError
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.state_view import StateView
from tests.support import evaluate

Answer = TypeVar("Answer", bound=Message)
EVALUATE = {
    pb.PutRequest: (Batch.put, pb.PutResponse),
    pb.DeleteRangeRequest: (Batch.delete_range, pb.DeleteRangeResponse),
    pb.TxnRequest: (evaluate.txn, pb.TxnResponse),
    pb.CompactionRequest: (Batch.compact, pb.CompactionResponse),
}


class Waiting:
    """A reply that is waited for; the backend must give it exactly once."""

    def __init__(self) -> None:
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def __call__(self, answer: bytes | BrainctlError) -> None:
        if isinstance(answer, BrainctlError):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


def send(backend: TikvBackend, request: Message) -> asyncio.Future[bytes]:
    """Submit a write; its marshalled answer."""
    waiting = Waiting()
    backend.submit(EVALUATE[type(request)][0], request, waiting)
    return waiting.future


async def write(backend: TikvBackend, request: Message) -> Message:
    return EVALUATE[type(request)][1].FromString(await asyncio.wait_for(send(backend, request), 120))


async def put(backend: TikvBackend, key: bytes, value: bytes = b"v", lease: int = 0) -> int:
    """The revision of a put."""
    answer = await write(backend, pb.PutRequest(key=key, value=value, lease=lease))
    return answer.header.revision


async def delete(backend: TikvBackend, key: bytes, end: bytes = b"") -> int:
    return (await write(backend, pb.DeleteRangeRequest(key=key, range_end=end))).header.revision


async def compact(backend: TikvBackend, revision: int) -> None:
    await write(backend, pb.CompactionRequest(revision=revision))


async def read(backend: TikvBackend, key: bytes, end: bytes = b"", **fields: int) -> pb.RangeResponse:
    waiting = Waiting()
    backend.range(pb.RangeRequest(key=key, range_end=end, **fields), waiting)
    return pb.RangeResponse.FromString(await asyncio.wait_for(waiting.future, 120))


async def value(backend: TikvBackend, key: bytes) -> bytes | None:
    found = (await read(backend, key)).kvs
    return found[0].value if found else None


async def state_of(backend: TikvBackend) -> StateView:
    """The state in TiKV now."""
    return await backend._reads.state()


async def listed(view: object, revision: int = 0) -> list[kv_pb2.KeyValue]:
    return [kv_pb2.KeyValue.FromString(v.kv) async for v in view.versions(b"\x00", None, revision)]


async def history(view: object, first: int, last: int) -> list[tuple[int, list[KeyVersion]]]:
    return [(one.main, one.changes) async for one in view.history(first, last)]
