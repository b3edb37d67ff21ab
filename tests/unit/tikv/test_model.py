"""Random writes, compactions and reads, beside a backend that keeps every version in a dict."""

import asyncio
import random
from typing import Any

import pytest
from google.protobuf.message import Message

from brainctl.errors import BrainctlError, StoreDamaged
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.key_codec import after
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Stored
from tests.support.memory import MemoryBackend
from tests.unit.tikv.calls import EVALUATE, history, send, state_of
from tests.unit.tikv.conftest import OpenBackend

KEYS = [
    b"\x00",
    b"\x00\x00",
    b"a",
    b"a\x00",
    b"a$",
    b"aa",
    b"b/\xff",
    b"b/\xff\xff",
    b"m",
    b"n\x00x",
    b"t",
    b"z",
    b"\xff\xff",
]


class Requests:
    """Random requests that touch few keys, so that they meet."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def key(self) -> bytes:
        return self.rng.choice(KEYS)

    def range(self) -> dict[str, bytes]:
        key, end = self.key(), self.rng.choice([b"", b"", b"\x00", self.key()])
        return {"key": key, "range_end": end if end == b"\x00" or end > key else b""}

    def shown(self) -> dict[str, int]:
        """What a range is to show."""
        some: list[dict[str, int]] = [{"limit": 1}, {"limit": 2, "keys_only": True}, {"count_only": True}]
        backwards = {"limit": 1, "sort_order": pb.RangeRequest.DESCEND}
        return self.rng.choice([{}, *some, *some, backwards, {"limit": 2, "min_mod_revision": 3}])

    def put(self) -> pb.PutRequest:
        value = self.rng.choice([b"", b"v", self.rng.randbytes(300)])
        return pb.PutRequest(key=self.key(), value=value, prev_kv=self.rng.random() < 0.5)

    def delete(self) -> pb.DeleteRangeRequest:
        return pb.DeleteRangeRequest(**self.range(), prev_kv=True)

    def txn(self, revision: int) -> pb.TxnRequest:
        past = self.rng.choice([0, 0, max(1, revision - self.rng.randrange(6))])
        compare = pb.Compare(
            key=self.key(), target=pb.Compare.VERSION, result=pb.Compare.EQUAL, version=self.rng.choice([0, 1])
        )
        operations = [
            pb.RequestOp(request_range=pb.RangeRequest(**self.range(), revision=past, **self.shown())),
            pb.RequestOp(request_delete_range=self.delete()),
            pb.RequestOp(request_range=pb.RangeRequest(**self.range(), **self.shown())),
        ]
        return pb.TxnRequest(compare=[compare], success=operations, failure=[pb.RequestOp(request_put=self.put())])

    def one(self, revision: int) -> Message:
        kind = self.rng.random()
        if kind < 0.5:
            return self.put()
        if kind < 0.75:
            return self.delete()
        if kind < 0.95:
            return self.txn(revision)
        return pb.CompactionRequest(revision=max(1, revision - self.rng.randrange(8)))


@pytest.mark.parametrize("seed", range(6))
def test_as_the_model(backend_of: OpenBackend, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainctl.tikv.prefetched_view.FIRST_KEYS", 1)  # a range is loaded bit by bit

    async def run() -> None:
        requests = Requests(random.Random(seed))
        model = MemoryBackend()
        async with backend_of() as backend:
            for _ in range(25):
                burst = [requests.one(model.revision) for _ in range(requests.rng.randrange(1, 12))]
                answers = [send(backend, request) for request in burst]
                for request, answer in zip(burst, answers, strict=True):
                    await same_answer(model, request, answer)
                await same_state(model, await state_of(backend), requests)
            await backend.defragment()
            await same_state(model, await state_of(backend), requests)
            await nothing_is_left(model, backend)
        async with backend_of() as backend:
            assert backend.revision == model.revision
            await same_state(model, await state_of(backend), requests)

    asyncio.run(run())


async def same_answer(model: MemoryBackend, request: Message, answer: asyncio.Future[bytes]) -> None:
    evaluate, response = EVALUATE[type(request)]
    expected: list[Any] = []
    model.submit(evaluate, request, expected.append)
    if isinstance(expected[0], BrainctlError):
        with pytest.raises(type(expected[0])) as refused:
            await answer
        assert str(refused.value) == str(expected[0])
        return
    got, wanted = response.FromString(await answer), response.FromString(expected[0])
    assert got.header.revision == wanted.header.revision
    for message in (got, wanted):
        message.ClearField("header")
    assert got == wanted


async def same_state(model: MemoryBackend, state: StateView, requests: Requests) -> None:
    view = model.view
    assert (state.revision, state.compacted) == (view.revision, max(view.compacted, 0))
    oldest = max(view.compacted, 1)
    for revision in {0, oldest, requests.rng.randint(oldest, view.revision), view.revision}:
        bounds = requests.range()
        start, end = (
            bounds["key"],
            None if bounds["range_end"] == b"\x00" else bounds["range_end"] or bounds["key"] + b"\x00",
        )
        wanted = [version.kv for version in view.versions(start, end, revision)]
        assert [version.kv async for version in state.versions(start, end, revision)] == wanted
        assert await state.count(start, end, revision) == len(wanted)
        limit = requests.rng.randrange(4)
        assert await state.select(start, end, revision, limit) == view.select(start, end, revision, limit)
        assert await state.get(start, revision) == view.get(start, revision)
    assert await history(state, oldest, view.revision) == [tuple(r) for r in view.history(oldest, view.revision)]


async def nothing_is_left(model: MemoryBackend, backend: TikvBackend) -> None:
    """After a reclaim TiKV holds what is needed to read at the compacted revision and later, and nothing more."""
    view, state = model.view, await state_of(backend)
    layout, compacted = state.layout, view.compacted
    dead: list[bytes] = []
    based: list[bytes] = []
    for key, versions in view.keys.items():
        old = [version for version in versions if version.mod_revision <= compacted]
        if not versions[-1].version and versions[-1].mod_revision >= compacted:
            dead.append(key)
        if old and old[-1].version and old[-1] is not versions[-1]:
            based.append(key)
    assert await stored_in(state, layout.deads) == sorted(dead)
    assert await stored_in(state, layout.bases) == sorted(based)
    blocks = [block async for _, block in state.blocks(0)]
    assert all(block[-1].mod >= compacted for block in blocks)


async def stored_in(state: StateView, section: bytes) -> list[bytes]:
    return [
        Stored.unpack(value).version().key
        async for page in state.reader.scan(section, after(section))
        for _, value in page
    ]


def test_the_control_notices_a_lost_change(backend_of: OpenBackend) -> None:
    async def run() -> None:
        requests = Requests(random.Random(1))
        model = MemoryBackend()
        async with backend_of() as backend:
            for key in KEYS:
                request = pb.PutRequest(key=key, value=b"v")
                await same_answer(model, request, send(backend, request))
            model.view.log.pop()
            with pytest.raises(AssertionError):
                await same_state(model, await state_of(backend), requests)

    asyncio.run(run())


def test_a_version_that_is_neither_compacted_nor_there_is_damage(backend_of: OpenBackend) -> None:
    """Unless the log is whole, a read of the past must not pretend that a key did not exist."""

    async def run() -> None:
        async with backend_of() as backend:
            for _ in range(3):
                await send(backend, pb.PutRequest(key=b"k", value=b"v"))
            layout = (await state_of(backend)).layout
            transaction = await backend._client.begin()
            await transaction.commit(dict.fromkeys(await transaction.keys(layout.log, after(layout.log))))
            backend._reads._blocks.clear()
            with pytest.raises(Exception, match="not in TiKV") as damaged:
                await (await state_of(backend)).get(b"k", 3)
            assert isinstance(damaged.value, StoreDamaged)

    asyncio.run(run())
