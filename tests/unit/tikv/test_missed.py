"""A process that follows the one that writes, and is late: it says what it missed, and makes good what failed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from brainctl.clock import ManualClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.commit import Commit
from brainctl.node.services.watch import WatchService
from brainctl.tikv import published_state
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.errors import Failure, TikvFailed
from brainctl.tikv.log_follower import commits_since
from brainctl.tikv.state_view import StateView
from brainctl.tikv.succession import Role
from brainctl.tikv.value_codec import Head
from tests.unit.tikv.calls import compact, put, state_of
from tests.unit.tikv.conftest import OpenBackend


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody follow unless the test says so."""
    monkeypatch.setattr("brainctl.tikv.succession.FOLLOW_SECONDS", 3600.0)


class Watching:
    """A watch of the keys from "k" to "l" in a process that follows."""

    def __init__(self, backend: TikvBackend, start: int = 0) -> None:
        self.responses: list[pb.WatchResponse] = []
        self._arrived = asyncio.Event()
        self._session = WatchService(backend, ManualClock()).open(self._take)
        request = pb.WatchCreateRequest(key=b"k", range_end=b"l", start_revision=start, prev_kv=True)
        self._session.receive(pb.WatchRequest(create_request=request).SerializeToString())

    def _take(self, body: bytes) -> None:
        self.responses.append(pb.WatchResponse.FromString(body))
        self._arrived.set()

    @property
    def events(self) -> list[int]:
        return [event.kv.mod_revision for response in self.responses for event in response.events]

    async def canceled(self) -> int:
        """Wait for the end of the watch; the compacted revision that it names."""
        async with asyncio.timeout(120):
            while not self.responses or not self.responses[-1].canceled:
                self._arrived.clear()
                await self._arrived.wait()
        return self.responses[-1].compact_revision


async def follow(follower: TikvBackend) -> None:
    await follower._shown.catch_up(await state_of(follower))


def test_a_watch_whose_events_a_compaction_removed_is_cancelled(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as follower:
            watching = Watching(follower)
            await put(backend, b"k")
            await follow(follower)
            assert watching.events == [2]
            for _ in range(4):
                await put(backend, b"k")
            await compact(backend, await put(backend, b"other"))
            await backend.defragment()
            await put(backend, b"k")
            await follow(follower)
            assert await watching.canceled() == 7
            assert watching.events == [2]
            # A watch from the compacted revision on gets what came after it.
            again = Watching(follower, 7)
            await put(backend, b"k")
            await follow(follower)
            async with asyncio.timeout(120):
                while again.events != [8, 9]:  # noqa: ASYNC110 - read by a task of the service
                    await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_watch_whose_events_are_still_there_gets_them(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction removes nothing at once: who is late by less misses nothing."""
    monkeypatch.setattr(TikvBackend, "_start_reclaim", lambda _: None)

    async def run() -> None:
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as follower:
            watching = Watching(follower)
            await asyncio.gather(*(put(backend, b"k%d" % (number % 3)) for number in range(9)))
            await compact(backend, backend.revision)
            await follow(follower)
            assert watching.events == list(range(2, 11))
            assert not watching.responses[-1].canceled
            assert [event.HasField("prev_kv") for response in watching.responses for event in response.events] == [
                *[False] * 3,
                *[True] * 6,
            ]
            assert follower.compacted == 10

    asyncio.run(run())


def test_the_past_is_not_read_beyond_a_compaction_that_was_not_seen_yet(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as follower:
            for _ in range(5):
                await put(backend, b"k")
            await follow(follower)
            await compact(backend, await put(backend, b"other"))
            await backend.defragment()
            assert follower.compacted == 0
            watching = Watching(follower, 2)
            assert await watching.canceled() == 7
            assert watching.events == []

    asyncio.run(run())


def test_what_fails_on_the_way_goes_on_where_it_stopped(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaking(known: Head, state: StateView, records: dict[bytes, bytes]) -> AsyncIterator[Commit]:
        shown = 0
        async for commit in commits_since(known, state, records):
            if shown == left:
                raise TikvFailed(Failure.UNAVAILABLE, "away")
            shown += 1
            yield commit

    monkeypatch.setattr(published_state, "commits_since", breaking)
    left = 2

    async def run() -> None:
        nonlocal left
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as follower:
            seen: list[Commit] = []
            follower.subscribe(seen.append)
            for _ in range(4):
                await put(backend, b"k")
            await backend.writer._commit_records({b"a record": b"1"})
            await compact(backend, 3)
            with pytest.raises(TikvFailed):
                await follow(follower)
            assert (follower.revision, follower.record(b"a record")) == (3, None)
            # Nothing is written meanwhile.
            left = -1
            await follow(follower)
            assert [change.mod_revision for commit in seen for change in commit.changes] == [2, 3, 4, 5]
            assert (follower.revision, follower.compacted, follower.record(b"a record")) == (5, 3, b"1")
            assert [commit.compact for commit in seen][-1] == 3

    asyncio.run(run())
