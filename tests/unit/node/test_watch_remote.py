"""Catching up over a network: writes and compactions go on while the history is read."""

import asyncio
from collections.abc import Callable
from functools import partial

from brainctl.clock import ManualClock
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.node.jobs.watch_backfill import RETRY_SECONDS, RemoteCatchUp
from brainctl.node.services.watch import WatchService
from tests.support.async_view import SlowView
from tests.support.memory import MemoryBackend


class World:
    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.view = SlowView(self.backend.view)
        self.service = WatchService(self.backend, ManualClock())
        self.service.catch_up = RemoteCatchUp(self.service.hub, self.view, self.backend)
        self.responses: list[pb.WatchResponse] = []
        self.session = self.service.open(lambda body: self.responses.append(pb.WatchResponse.FromString(body)))

    def put(self) -> None:
        self.backend.submit(Batch.put, pb.PutRequest(key=b"a"), lambda _: None)

    def create(self, start: int) -> None:
        request = pb.WatchCreateRequest(key=b"a", start_revision=start, prev_kv=True)
        self.session.receive(pb.WatchRequest(create_request=request).SerializeToString())

    def run(self) -> None:
        """Run what was spawned until nothing is left."""

        async def everything() -> None:
            while self.backend.work:
                work, self.backend.work = self.backend.work, []
                for one in work:
                    await one

        asyncio.run(everything())

    @property
    def events(self) -> list[int]:
        return [event.kv.mod_revision for response in self.responses for event in response.events]


def times(count: int, action: Callable[[], None]) -> Callable[[], None]:
    """An action that stops after a while."""
    left = [count]

    def act() -> None:
        if left[0]:
            left[0] -= 1
            action()

    return act


def test_writes_during_the_reading_come_once_and_in_order() -> None:
    world = World()
    for _ in range(5):
        world.put()
    world.create(3)
    world.view.between = times(20, world.put)
    world.run()
    world.put()
    assert world.events == list(range(3, world.backend.revision + 1))
    assert all(event.HasField("prev_kv") for response in world.responses for event in response.events)


def test_a_compaction_during_the_reading_cancels() -> None:
    world = World()
    for _ in range(5):
        world.put()
    world.create(3)
    compact = pb.CompactionRequest(revision=5)
    world.view.between = times(1, lambda: world.backend.submit(Batch.compact, compact, lambda _: None))
    world.run()
    assert world.events == []
    assert world.responses[-1].compact_revision == 5


def test_a_failure_is_tried_again() -> None:
    def fail() -> None:
        raise BrainctlError("the network is gone")

    world = World()
    world.put()
    world.create(2)
    world.view.between = times(1, fail)
    world.run()
    assert world.events == []
    timers, world.backend.timers = world.backend.timers, []
    for seconds, action in timers:
        if seconds == RETRY_SECONDS:
            action()
    world.run()
    assert world.events == [2]


def test_who_comes_during_the_reading_gets_the_versions_before() -> None:
    """They are looked up for those who wait, and one that comes meanwhile may want those of other keys."""
    for moment in range(4):
        world = World()
        for key in (b"a", b"b", b"a", b"b"):
            world.backend.submit(Batch.put, pb.PutRequest(key=key), lambda _: None)
        world.create(4)
        late = pb.WatchCreateRequest(key=b"b", start_revision=4, prev_kv=True)
        world.view.between = at(moment, partial(world.session.receive, _create(late)))
        world.run()
        found = {event.kv.mod_revision: event.prev_kv.mod_revision for r in world.responses for event in r.events}
        assert found.pop(4) == 2
        assert found in ({}, {5: 3})
        world.run()


def _create(request: pb.WatchCreateRequest) -> bytes:
    return pb.WatchRequest(create_request=request).SerializeToString()


def at(moment: int, action: Callable[[], None]) -> Callable[[], None]:
    """An action that happens once, after so many moments."""
    left = [moment + 1]

    def act() -> None:
        left[0] -= 1
        if left[0] == 0:
            action()

    return act
