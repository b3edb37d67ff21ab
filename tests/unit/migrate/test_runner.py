"""The driver against a real etcd: compactions, outages, takeovers, refusals, cutovers."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from brainctl.errors import Fenced, InvalidInput, NotEmpty
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import History, Record
from brainctl.migrate.machine.resume import CutOver
from brainctl.migrate.machine.state import Goal
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.store import Store
from tests.conftest import NewEtcd
from tests.peers.servers import Etcd
from tests.unit.migrate.model import TargetModel
from tests.unit.migrate.running import contents, etcd_store, fill, start


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def put(store: Store, key: bytes, value: bytes, lease: int = 0) -> int:
    return (await store.put(pb.PutRequest(key=key, value=value, lease=lease))).header.revision


async def assert_copied(source: Store, target: TargetModel) -> None:
    newest = (await source.range(pb.RangeRequest(key=b"-"))).header.revision
    assert target.revision == newest
    assert target.keys == await contents(source, newest)


def test_history_from_the_first_revision(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        source, target = etcd_store(server.endpoint), TargetModel()
        await fill(source, 300)
        await put(source, b"/k/000000", b"again")
        runner, _ = await start(source, target)
        assert await runner.run() == ""
        await assert_copied(source, target)
        assert target.base == 1
        assert len(target.history) == 301
        await source.close()

    run(story(new_etcd()))


def test_a_compacted_source_is_copied_from_its_oldest_revision(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        source, target = etcd_store(server.endpoint), TargetModel()
        await fill(source, 1500)
        oldest = await put(source, b"/k/000000", b"1")
        await source.compact(pb.CompactionRequest(revision=oldest))
        await put(source, b"/k/000000", b"2")
        runner, watched = await start(source, target)
        assert await runner.run() == ""
        await assert_copied(source, target)
        assert target.base == oldest
        assert len(target.history) == 1
        assert watched.figures[-1].keys == 1500
        await source.close()

    run(story(new_etcd()))


class CompactedWhileRead(EtcdStore):
    """Compacts before the second page of the base is read."""

    pages = 0

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        if request.limit > 1:
            self.pages += 1
            if self.pages == 2:
                revision = await put(self, b"/later", b"")
                await self.delete_range(pb.DeleteRangeRequest(key=b"/k/000001"))
                await self.compact(pb.CompactionRequest(revision=revision + 1))
        return await super().range(request)


def test_a_compaction_during_the_copy_does_not_start_it_over(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        source, target = CompactedWhileRead(EtcdTarget((server.endpoint,))), TargetModel()
        await fill(source, 1500)
        runner, watched = await start(source, target, history=History.NONE)
        assert await runner.run() == ""
        await assert_copied(source, target)
        assert b"/k/000001" not in target.keys
        last = watched.figures[-1]
        assert (last.resyncs, last.keys) == (0, 1501)
        assert last.chosen_revision < last.base_revision == target.base
        await source.close()

    run(story(new_etcd()))


def test_leases_are_granted_before_their_keys_and_reconciled(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        source, target = etcd_store(server.endpoint), TargetModel()
        kept = (await source.lease_grant(pb.LeaseGrantRequest(TTL=3600))).ID
        alone = (await source.lease_grant(pb.LeaseGrantRequest(TTL=1800))).ID
        gone = (await source.lease_grant(pb.LeaseGrantRequest(TTL=900))).ID
        await put(source, b"/kept", b"", kept)
        await put(source, b"/gone", b"", gone)
        await source.lease_revoke(pb.LeaseRevokeRequest(ID=gone))
        runner, _ = await start(source, target)
        assert await runner.run() == ""
        await assert_copied(source, target)
        assert {lease: granted for lease, (granted, _) in target.granted.items()} == {kept: 3600, alone: 1800}
        await source.close()

    run(story(new_etcd()))


def test_an_outage_of_the_source_is_waited_out(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        source, target = etcd_store(server.endpoint), TargetModel()
        await fill(source, 100)
        runner, watched = await start(source, target, Goal.FOLLOW)
        running = asyncio.create_task(runner.run())
        await watched.until(lambda: any(figures.phase is Phase.SYNCED for figures in watched.figures))
        await asyncio.to_thread(server.kill)
        await watched.until(lambda: bool(watched.waits))
        await asyncio.to_thread(server.start)
        revision = await put(source, b"/after", b"")
        await watched.until(lambda: watched.figures[-1].watermark >= revision)
        runner.stop()
        assert await running == ""
        await assert_copied(source, target)
        await source.close()

    run(story(new_etcd(fsync=True)))


def test_the_second_process_fences_the_first(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        source, target = etcd_store(server.endpoint), TargetModel()
        await fill(source, 100)
        first, watched = await start(source, target, Goal.FOLLOW)
        running = asyncio.create_task(first.run())
        await watched.until(lambda: any(figures.phase is Phase.SYNCED for figures in watched.figures))
        second, _ = await start(source, target)
        assert await second.run() == ""
        await put(source, b"/more", b"")
        with pytest.raises(Fenced):
            await running
        third, _ = await start(source, target)
        assert await third.run() == ""
        await assert_copied(source, target)
        await source.close()

    run(story(new_etcd()))


def test_what_may_not_be_resumed(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd, other: Etcd) -> None:
        source, stranger, target = etcd_store(server.endpoint), etcd_store(other.endpoint), TargetModel()
        await fill(source, 100)
        runner, _ = await start(source, target)
        await runner.run()
        with pytest.raises(InvalidInput, match="is cluster"):
            await start(_Elsewhere(stranger.target), target)
        with pytest.raises(InvalidInput, match="--history all"):
            await start(source, target, history=History.NONE)
        target.revision += 1
        with pytest.raises(InvalidInput, match="something else wrote to it"):
            await start(source, target)
        target.revision -= 1
        target.stored = None
        with pytest.raises(NotEmpty):
            await start(source, target)
        runner, _ = await start(source, target, history=History.NONE, overwrite=True)
        assert await runner.run() == ""
        await assert_copied(source, target)
        assert target.history == []
        await source.close()
        await stranger.close()

    run(story(new_etcd(), new_etcd()))


class _Elsewhere(EtcdStore):
    """A single-member etcd derives its cluster id from its peer address; all of these tests' look the same to it."""

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        response = await super().range(request)
        response.header.cluster_id += 1
        return response


def test_a_source_that_went_back_is_refused(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd, restored: Etcd) -> None:
        source, older, target = etcd_store(server.endpoint), etcd_store(restored.endpoint), TargetModel()
        await fill(source, 300)
        runner, _ = await start(source, target)
        await runner.run()
        record = Record.decode(target.stored.state if target.stored else b"")
        header = (await older.range(pb.RangeRequest(key=b"-"))).header
        assert target.stored is not None
        target.stored = target.stored._replace(state=record._replace(cluster=header.cluster_id).encode())
        with pytest.raises(InvalidInput, match="the source has gone back: it is at revision 1, behind revision 4"):
            await start(older, target)
        await source.close()
        await older.close()

    run(story(new_etcd(), new_etcd()))


def test_a_cutover_commits_the_target(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        source, target = etcd_store(server.endpoint), TargetModel()
        await fill(source, 200)

        async def compare(revision: int) -> int:
            return int(target.keys != await contents(source, revision))

        runner, _ = await start(source, target, Goal.CUTOVER, compare=compare)
        assert await runner.run() == ""
        assert target.stored is not None
        assert Record.decode(target.stored.state).phase is Phase.COMMITTED
        with pytest.raises(CutOver):
            await start(source, target)
        await source.close()

    run(story(new_etcd()))


@pytest.mark.parametrize("ending", ["interrupted", "broken"])
def test_a_frozen_source_is_set_free_however_the_cutover_ends(new_etcd: NewEtcd, ending: str, tmp_path: Path) -> None:
    async def story(server: Etcd) -> None:
        source, target = etcd_store(server.endpoint), TargetModel()
        await fill(source, 200)

        async def compare(_revision: int) -> int:
            if ending == "broken":
                raise ArithmeticError
            runner.stop()
            return 0

        hooks = ("true", f"touch {tmp_path}/unfrozen")
        runner, _ = await start(source, target, Goal.CUTOVER, compare=compare, hooks=hooks)
        if ending == "broken":
            with pytest.raises(ArithmeticError):
                await runner.run()
        else:
            assert await runner.run() == "it was interrupted"
        assert (tmp_path / "unfrozen").exists()
        await source.close()

    run(story(new_etcd()))


@pytest.mark.parametrize("planted", [0, 3])
def test_a_cutover_that_cannot_be_is_given_up(new_etcd: NewEtcd, planted: int, tmp_path: Path) -> None:
    """Writers that go on, or a difference: the source is set free again, and the migration can go on."""

    async def story(server: Etcd) -> None:
        source, target = etcd_store(server.endpoint), TargetModel()
        await fill(source, 200)
        stopped = asyncio.Event()

        async def write() -> None:
            while not stopped.is_set():
                await put(source, b"/busy", b"")

        async def compare(_revision: int) -> int:
            return planted

        hooks = ("true", f"touch {tmp_path}/unfrozen")
        runner, _ = await start(source, target, Goal.CUTOVER, compare=compare, hooks=hooks)
        writer = asyncio.create_task(write()) if not planted else None
        reason = await runner.run()
        stopped.set()
        if writer is not None:
            await writer
        assert ("differ in 3 places" if planted else "still takes writes") in reason
        assert (tmp_path / "unfrozen").exists()
        runner, _ = await start(source, target)
        assert await runner.run() == ""
        await assert_copied(source, target)
        await source.close()

    run(story(new_etcd()))
