"""Gets of single keys take a shorter way than other ranges, and get the same answers."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from brainctl.errors import STOPPED, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.tikv.succession import Role
from tests.unit.tikv.calls import Waiting, delete, put, state_of
from tests.unit.tikv.conftest import OpenBackend

KEYS = [b"k%03d" % number for number in range(100)]


def test_the_gets_of_a_turn_are_one_piece_of_work(backend_of: OpenBackend) -> None:
    """One request to TiKV, and few tasks; each get has the answer of a range, in a process that follows, too."""

    async def run() -> None:
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as follower:
            await asyncio.gather(*(put(backend, key, b"of " + key) for key in KEYS[::2]))
            await delete(backend, KEYS[0])
            await put(backend, KEYS[2])
            for process in (backend, follower):
                ranged = [Waiting() for _ in KEYS]
                for key, reply in zip(KEYS, ranged, strict=True):
                    process.range(pb.RangeRequest(key=key), reply)
                wanted = await asyncio.gather(*(reply.future for reply in ranged))
                tasks = 0

                def task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any) -> Any:
                    nonlocal tasks
                    tasks += 1
                    return asyncio.Task(work, loop=loop, **more)

                before = process.traffic.count("get")
                asyncio.get_running_loop().set_task_factory(task)
                got = [Waiting() for _ in KEYS]
                for key, reply in zip(KEYS, got, strict=True):
                    process.points.get(key, reply)
                assert await asyncio.gather(*(reply.future for reply in got)) == wanted
                asyncio.get_running_loop().set_task_factory(None)
                assert process.traffic.count("get") - before < 10  # with those of a follower or a renewal
                assert tasks < len(KEYS)

    asyncio.run(run())


def test_a_get_beside_a_large_commit_sees_the_version_before_it(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as backend:
            await put(backend, b"k", b"old")
            state = await state_of(backend)
            await put(backend, b"k", b"new")
            other = await backend._reads.state([b"k", b"none"])
            (new, none) = await other.loaded([b"k", b"none"])
            assert b"new" in (new or b"")
            assert none is None
            # As it is while the second put is written ahead of the head.
            other.head = state.head._replace(ahead=other.revision)
            (old, none) = await other.loaded([b"k", b"none"])
            assert b"old" in (old or b"")
            assert none is None

    asyncio.run(run())


def test_a_get_after_the_end_is_refused(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as backend:
            pass
        late = Waiting()
        backend.points.get(b"k", late)
        with pytest.raises(ApiError) as refused:
            await late.future
        assert refused.value.status == STOPPED

    asyncio.run(run())
