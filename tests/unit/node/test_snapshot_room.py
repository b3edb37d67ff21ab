"""Snapshots at once: few, none that is hardly read while others wait, none that the disk has no room for."""

import asyncio
import resource
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryFile
from typing import Any, cast

import pytest

from brainctl.errors import ApiError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.services.maintenance.snapshot_room import (
    AT_ONCE,
    GIVEN_UP,
    PATIENCE_SECONDS,
    TOO_MANY,
    SnapshotRoom,
)
from tests.support.rpc import InProcess

VALUE_BYTES = 300_000
FILE_BYTES = 100_000
"""Larger files cannot be written, in the test of a full disk."""


@pytest.fixture
def api() -> Iterator[InProcess]:
    api = InProcess()
    api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"a", value=bytes(VALUE_BYTES)))
    yield api
    api.close()


class NoThreads(ThreadPoolExecutor):
    """A pool whose threads are all taken."""

    def submit(self, *_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("a thread that the store needs was asked for")


def begun(api: InProcess) -> AsyncIterator[bytes]:
    """Begin a snapshot, and take one message of it."""
    opened = api.node.snapshot()
    api.loop.run_until_complete(anext(opened))
    return opened


def rest(api: InProcess, opened: AsyncIterator[bytes]) -> int:
    async def read() -> int:
        return sum([len(pb.SnapshotResponse.FromString(body).blob) async for body in opened])

    return api.loop.run_until_complete(read())


def refused(api: InProcess) -> int:
    return api.node.figures().snapshots_refused


def test_one_more_than_may_be_is_refused_until_one_is_over(api: InProcess) -> None:
    opened = [begun(api) for _ in range(AT_ONCE)]
    with pytest.raises(ApiError) as error:
        begun(api)
    assert (error.value.status, refused(api)) == (TOO_MANY, 1)
    assert rest(api, opened[0]) > VALUE_BYTES
    begun(api)
    api.loop.run_until_complete(cast("AsyncGenerator[bytes]", opened[1]).aclose())  # its client goes away
    begun(api)


def test_one_that_is_hardly_read_makes_room(api: InProcess, caplog: pytest.LogCaptureFixture) -> None:
    opened = [begun(api) for _ in range(AT_ONCE)]
    api.clock.advance(PATIENCE_SECONDS - 1)
    with pytest.raises(ApiError):
        begun(api)
    api.clock.advance(1)
    assert rest(api, begun(api)) > VALUE_BYTES
    assert "others wait" in caplog.text
    with pytest.raises(ApiError) as error:
        rest(api, opened[0])
    assert (error.value.status, refused(api)) == (GIVEN_UP, 2)
    assert rest(api, opened[1]) > VALUE_BYTES


def test_none_is_begun_for_which_the_disk_has_no_room(caplog: pytest.LogCaptureFixture) -> None:
    room = SnapshotRoom(lambda: 0.0)
    with TemporaryFile() as file, pytest.raises(ApiError) as error:
        room.enter(file, 1 << 60)
    assert error.value.status.code is Code.RESOURCE_EXHAUSTED
    assert "TMPDIR" in caplog.text


def test_a_file_that_cannot_grow_ends_the_snapshot_and_nothing_else(api: InProcess) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, hard))
    try:
        with pytest.raises(ApiError) as error:
            begun(api)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.status.code is Code.RESOURCE_EXHAUSTED
    assert "TMPDIR" in error.value.status.message
    assert rest(api, begun(api)) > VALUE_BYTES


def test_threads_of_the_store_are_left_to_it(api: InProcess) -> None:
    """Passwords and snapshots are worked on while no thread of the event loop's own pool is free."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(NoThreads())
        request = pb.AuthUserAddRequest(name="ann", password="secret")
        answer: asyncio.Future[object] = loop.create_future()
        api.node.call("/etcdserverpb.Auth/UserAdd", request.SerializeToString(), answer.set_result)
        assert isinstance(await answer, bytes)

    api.loop.run_until_complete(scenario())
    assert rest(api, begun(api)) > VALUE_BYTES
