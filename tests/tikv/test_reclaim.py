"""Reclaiming what a compaction leaves, interrupted at every step: no read changes, and the rest is done later."""

import asyncio
import random
from contextlib import suppress

import pytest
from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.tikv import reclaim as module
from brainctl.tikv.medium import TikvMedium
from brainctl.tikv.reclaim import Edit, reclaim
from tests.support.memory import MemoryMedium
from tests.tikv.calls import compact, put, read, send, state_of
from tests.tikv.conftest import OpenMedium
from tests.tikv.test_model import Requests, nothing_is_left, same_answer, same_state


class Interrupted(Exception):
    """The process died here."""


async def both(model: MemoryMedium, medium: TikvMedium, *requests: Message) -> None:
    for request in requests:
        await same_answer(model, request, send(medium, request))


def by_hand(medium: TikvMedium) -> None:
    """Let this test reclaim, and nothing else."""
    medium._reclaimed.clear()


@pytest.mark.parametrize("seed", range(3))
def test_interrupted_after_any_number_of_steps(
    medium_of: OpenMedium, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(module, "STEP", 9)

    async def run() -> None:
        requests = Requests(random.Random(seed))
        model = MemoryMedium()
        async with medium_of() as medium:
            by_hand(medium)
            for steps in range(20):
                writes = [requests.one(model.revision) for _ in range(20)]
                await both(model, medium, *(one for one in writes if not isinstance(one, pb.CompactionRequest)))
                await both(model, medium, pb.CompactionRequest(revision=model.revision - requests.rng.randrange(12)))
                left = steps

                async def commit(edit: Edit, reclaimed: int) -> None:
                    nonlocal left
                    if left == 0:
                        raise Interrupted
                    left -= 1
                    await medium.writer.edit(edit, reclaimed)
                    # Writers do not wait for the end of it, and keep what they replace.
                    await both(model, medium, requests.put())

                with suppress(Interrupted):
                    await reclaim(await state_of(medium), commit)
                await same_state(model, await state_of(medium), requests)
            await reclaim(await state_of(medium), medium.writer.edit)
            await nothing_is_left(model, medium)
            await same_state(model, await state_of(medium), requests)

    asyncio.run(run())


def test_the_next_leader_goes_on(medium_of: OpenMedium) -> None:
    async def run() -> None:
        model = MemoryMedium()
        async with medium_of() as medium:
            by_hand(medium)
            for _ in range(5):
                await both(model, medium, pb.PutRequest(key=b"k", value=b"v"))
            await both(model, medium, pb.CompactionRequest(revision=5))
        async with medium_of() as medium:
            await medium.defragment()
            assert medium._shown.head.reclaimed == 5
            await nothing_is_left(model, medium)

    asyncio.run(run())


def test_the_control_a_reclaim_that_keeps_nothing_loses_versions(
    medium_of: OpenMedium, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def edit(_: object) -> dict[bytes, bytes | None]:
        return {}

    monkeypatch.setattr(module, "_keep", lambda *_: edit)

    async def run() -> None:
        async with medium_of() as medium:
            for _ in range(3):
                await put(medium, b"k")
            await asyncio.gather(*(put(medium, b"other") for _ in range(3)))
            await put(medium, b"k")
            await compact(medium, 5)
            await medium.defragment()
            medium._reads._blocks.clear()
            with pytest.raises(Exception, match="not in TiKV"):
                await read(medium, b"k", revision=5)

    asyncio.run(run())
