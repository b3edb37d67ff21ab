"""The change stream of a real etcd: what it is asked for with, and what is known of a response on its way."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from brainctl.clock import ManualClock
from brainctl.errors import ApiError, Code, ExitCode
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.etcd_source.change_stream import ChangeStream
from brainctl.migrate.etcd_source.delivery import MAX_STALLS, STALL_SECONDS
from brainctl.migrate.machine.event_buffer import StreamBroken
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.state import BEHIND_LOOKS, Goal
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.watching import Watching
from tests.conftest import NewEtcd
from tests.peers.servers import Etcd
from tests.unit.migrate.model import TargetModel
from tests.unit.migrate.running import contents, etcd_store, fill, start
from tests.unit.migrate.world import World
from tests.unit.tikv.proxy import Proxy

MEBIBYTE = 1 << 20


class Noting(EtcdStore):
    """Notes how its streams are asked for: whether in fragments."""

    def __init__(self, target: EtcdTarget, fragments: list[bool]) -> None:
        super().__init__(target)
        self.fragments = fragments

    def beside(self, max_receive: int) -> EtcdStore:
        return Noting(EtcdStore(self.target).beside(max_receive).target, self.fragments)

    async def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> AsyncIterator[pb.WatchResponse]:
        async def noted() -> AsyncIterator[pb.WatchRequest]:
            async for request in requests:
                self.fragments.append(request.create_request.fragment)
                yield request

        async for response in super().watch(noted()):
            yield response


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_a_revision_of_many_events_comes_whole(new_etcd: NewEtcd) -> None:
    """In fragments of small events the time of an etcd grows with the square of their number."""

    async def story(server: Etcd) -> None:
        reaching = EtcdTarget((server.endpoint,), dial_timeout=60, command_timeout=120)
        source, target = Noting(reaching, []), TargetModel()
        await fill(source, 50_000)
        runner, watched = await start(source, target, Goal.FOLLOW)
        running = asyncio.create_task(runner.run())
        await watched.until(lambda: len(target.keys) == 50_000)
        deleting = pb.DeleteRangeRequest(key=b"/k/", range_end=b"/k0")
        newest = (await source.delete_range(deleting)).header.revision
        await watched.until(lambda: target.revision == newest)
        runner.stop()
        assert await running == ""
        assert target.keys == {}
        assert len(target.history) == 100_000, "500 transactions of 100 keys, and one revision of 50 000 deletes"
        assert set(source.fragments) == {False}, "a busy etcd may be waited for, and is asked again alike"
        await source.close()

    run(story(new_etcd()))


def test_a_stream_that_brings_nothing_ends_it_after_many_tries() -> None:
    clock = ManualClock()
    stream = ChangeStream(EtcdStore(EtcdTarget(("127.0.0.1:1",))), clock)
    for _ in range(MAX_STALLS):
        while not stream.has_stalled(9):
            clock.advance(STALL_SECONDS)
    with pytest.raises(StreamBroken, match=r"at revision 9, .* nothing after revision 0") as broken:  # noqa: PT012
        while not stream.has_stalled(9):
            clock.advance(STALL_SECONDS)
    assert "--history none --overwrite" in broken.value.told()
    assert broken.value.exit_code is ExitCode.ERROR
    assert not stream.has_stalled(0), "the control: nothing is missing"


def test_a_history_larger_than_a_response_may_be_comes_in_fragments(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        filling = etcd_store(server.endpoint)
        for number in range(6):
            await filling.put(pb.PutRequest(key=b"/large", value=b"%d" % number * MEBIBYTE))
        source = Noting(EtcdTarget((server.endpoint,), max_receive=4 * MEBIBYTE), [])
        target = TargetModel()
        runner, watched = await start(source, target, Goal.FOLLOW)
        running = asyncio.create_task(runner.run())
        await watched.until(lambda: target.revision == 7)
        newest = (await filling.put(pb.PutRequest(key=b"/small"))).header.revision
        await watched.until(lambda: target.revision == newest)
        runner.stop()
        assert await running == ""
        assert target.keys == await contents(filling, newest)
        assert source.fragments[:3] == [False, True, False], "whole again once nothing is missing"
        assert source.fragments[3:] == [False], "and one look at whether the source is what it was"
        await source.close()
        await filling.close()

    run(story(new_etcd()))


def test_an_event_larger_than_a_response_may_be_ends_it(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        filling = etcd_store(server.endpoint)
        await filling.put(pb.PutRequest(key=b"/large", value=bytes(MEBIBYTE)))
        source = Noting(EtcdTarget((server.endpoint,), max_receive=MEBIBYTE // 2), [])
        runner, _ = await start(source, TargetModel())
        with pytest.raises(ApiError) as failed:
            await runner.run()
        assert failed.value.status.code is Code.RESOURCE_EXHAUSTED
        assert source.fragments == [False, True, False]
        await source.close()
        await filling.close()

    run(story(new_etcd()))


class Cut(Proxy):
    """Lets only so many more bytes of the server through."""

    left = 1 << 40

    def _response(self, generation: int, data: bytes) -> bytes:
        passed = super()._response(generation, data)[: self.left]
        self.left -= len(passed)
        return passed


def test_what_arrives_of_a_response_is_counted(etcd: Etcd) -> None:
    """The end of a response does not come: nothing of it is delivered, but it is known to be on its way."""

    async def story() -> None:
        proxy, source = Cut(etcd.port), etcd_store(etcd.endpoint)
        await proxy.start()
        revision = (await source.range(pb.RangeRequest(key=b"-"))).header.revision + 1
        slow = etcd_store(f"127.0.0.1:{proxy.port}")
        async with Watching(slow, revision, fragment=False, max_receive=64 * MEBIBYTE) as watching:
            responses = aiter(watching)
            assert (await anext(responses)).created
            before = watching.received
            assert before is not None
            proxy.left = 100_000
            await source.put(pb.PutRequest(key=b"/counted", value=bytes(MEBIBYTE)))
            reading = asyncio.ensure_future(anext(responses))
            async with asyncio.timeout(60):
                while (watching.received or 0) < before + 50_000:  # noqa: ASYNC110 - the kernel has no event for it
                    await asyncio.sleep(0.01)
            assert not reading.done()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await slow.close()
        await source.close()
        await proxy.close()

    run(story())


def test_a_target_that_falls_behind_is_not_synced() -> None:
    world = World(Goal.FOLLOW)
    world.source.write({b"/a": (b"", 0)}, set())
    for _ in range(50):
        while world.waiting:
            world.do(0)
        world.stream(3)
        world.poll()
    assert world.migration.phase is Phase.SYNCED
    world.source.write({b"/b": (b"", 0)}, set())
    for _ in range(BEHIND_LOOKS):
        world.poll()
        assert world.migration.phase is Phase.SYNCED
    world.poll()
    assert world.migration.phase is Phase.CATCHING_UP
    world.stream(1)
    world.do(0)
    assert world.migration.phase is Phase.SYNCED
    world.check()
