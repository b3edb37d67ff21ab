"""Reclaiming what a compaction leaves, interrupted at every step: no read changes, and the rest is done later."""

import asyncio
import random
from contextlib import suppress

import pytest
from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.tikv import reclaim as module
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.reclaim import Edit, reclaim
from tests.support.memory import MemoryBackend
from tests.unit.tikv.calls import compact, put, read, send, state_of
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.test_model import Requests, nothing_is_left, same_answer, same_state


class Interrupted(Exception):
    """The process died here."""


async def both(model: MemoryBackend, backend: TikvBackend, *requests: Message) -> None:
    for request in requests:
        await same_answer(model, request, send(backend, request))


def by_hand(backend: TikvBackend) -> None:
    """Let this test reclaim, and nothing else."""
    backend._reclaimed.clear()


@pytest.mark.parametrize("seed", range(3))
def test_interrupted_after_any_number_of_steps(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(module, "STEP", 9)

    async def run() -> None:
        requests = Requests(random.Random(seed))
        model = MemoryBackend()
        async with backend_of() as backend:
            by_hand(backend)
            for steps in range(20):
                writes = [requests.one(model.revision) for _ in range(20)]
                await both(model, backend, *(one for one in writes if not isinstance(one, pb.CompactionRequest)))
                await both(model, backend, pb.CompactionRequest(revision=model.revision - requests.rng.randrange(12)))
                left = steps

                async def commit(edit: Edit, reclaimed: int) -> None:
                    nonlocal left
                    if left == 0:
                        raise Interrupted
                    left -= 1
                    await backend.writer.edit(edit, reclaimed)
                    # Writers do not wait for the end of it, and keep what they replace.
                    await both(model, backend, requests.put())

                with suppress(Interrupted):
                    await reclaim(await state_of(backend), commit)
                await same_state(model, await state_of(backend), requests)
            await reclaim(await state_of(backend), backend.writer.edit)
            await nothing_is_left(model, backend)
            await same_state(model, await state_of(backend), requests)

    asyncio.run(run())


def test_the_next_leader_goes_on(backend_of: OpenBackend) -> None:
    async def run() -> None:
        model = MemoryBackend()
        async with backend_of() as backend:
            by_hand(backend)
            for _ in range(5):
                await both(model, backend, pb.PutRequest(key=b"k", value=b"v"))
            await both(model, backend, pb.CompactionRequest(revision=5))
        async with backend_of() as backend:
            await backend.defragment()
            assert backend._shown.head.reclaimed == 5
            await nothing_is_left(model, backend)

    asyncio.run(run())


def test_the_control_a_reclaim_that_keeps_nothing_loses_versions(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def edit(_: object) -> dict[bytes, bytes | None]:
        return {}

    monkeypatch.setattr(module, "_keep", lambda *_: edit)

    async def run() -> None:
        async with backend_of() as backend:
            for _ in range(3):
                await put(backend, b"k")
            await asyncio.gather(*(put(backend, b"other") for _ in range(3)))
            await put(backend, b"k")
            await compact(backend, 5)
            await backend.defragment()
            backend._reads._blocks.clear()
            with pytest.raises(Exception, match="not in TiKV"):
                await read(backend, b"k", revision=5)

    asyncio.run(run())
