"""A source that is restored from an older state under the same cluster id is noticed, one that restarts is not."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from brainctl.errors import ApiError, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import Record
from brainctl.migrate.machine.state import Goal
from brainctl.migrate.machine.witness import WINDOW, WentBack
from brainctl.migrate.runner import Runner
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from tests.conftest import NewBrainctl, NewEtcd
from tests.peers import require
from tests.peers.servers import Etcd, Server, brainctl
from tests.unit.migrate.model import TargetModel
from tests.unit.migrate.running import Watched, contents, etcd_store, fill, start


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


class Plain(EtcdStore):
    """A source that says nothing of a Raft log, as some servers of the API do; calls wait while `open` is not set."""

    def __init__(self, target: EtcdTarget) -> None:
        super().__init__(target)
        self.open = asyncio.Event()
        self.open.set()

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        await self.open.wait()
        response = await super().range(request)
        response.header.raft_term = 0
        return response

    async def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> AsyncIterator[pb.WatchResponse]:
        await self.open.wait()
        async for response in super().watch(requests):
            yield response

    async def status(self) -> pb.StatusResponse:
        raise ApiError(Status(Code.UNIMPLEMENTED, "no"))

    def beside(self, max_receive: int) -> EtcdStore:
        other = Plain(super().beside(max_receive).target)
        other.open = self.open
        return other


def plain(server: Server) -> Plain:
    return Plain(EtcdTarget((server.endpoint,)))


def with_raft(server: Server) -> EtcdStore:
    return etcd_store(server.endpoint)


async def puts(store: EtcdStore, *texts: str) -> int:
    """Put "key=value" each; the revision."""
    revision = 0
    for text in texts:
        key, _, value = text.encode().partition(b"=")
        revision = (await store.put(pb.PutRequest(key=key, value=value))).header.revision
    return revision


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}{n}=1" for n in range(count)]


def save(server: Etcd, path: Path) -> Path:
    assert brainctl("--endpoints", server.endpoint, "snapshot", "save", str(path)).returncode == 0
    return path


async def restore(server: Etcd, snapshot: Path) -> None:
    """What an operator does: the member begins again from a snapshot, with its name, its URLs and so its cluster id."""
    await asyncio.to_thread(_restore, server, snapshot)


def _restore(server: Etcd, snapshot: Path) -> None:
    server.kill()
    shutil.rmtree(server.data_dir)
    peer = f"http://127.0.0.1:{server.peer_port}"
    where = ("--initial-cluster", f"default={peer}", "--initial-advertise-peer-urls", peer)
    command = [
        str(require("etcdutl")),
        "snapshot",
        "restore",
        str(snapshot),
        "--data-dir",
        str(server.data_dir),
        *where,
    ]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    server.start()


def record_of(target: TargetModel) -> Record:
    assert target.stored is not None
    return Record.decode(target.stored.state)


async def migrate(source: EtcdStore, target: TargetModel, goal: Goal = Goal.SYNCED) -> None:
    runner, _ = await start(source, target, goal)
    assert await runner.run() == ""


@pytest.mark.parametrize("more", [0, 60], ids=["still behind", "past the old revision"])
@pytest.mark.parametrize("kind", [plain, with_raft])
def test_a_resume_is_refused(new_etcd: NewEtcd, tmp_path: Path, kind: Callable[[Server], EtcdStore], more: int) -> None:
    async def story(server: Etcd) -> None:
        source, target = kind(server), TargetModel()
        await puts(source, *numbered("k", 20))
        snapshot = save(server, tmp_path / "snapshot")
        newest = await puts(source, *numbered("n", 30))
        await migrate(source, target)
        before = (target.stored, dict(target.keys))
        await restore(server, snapshot)
        assert await puts(etcd_store(server.endpoint), "after=1", *numbered("z", more)) > newest or not more
        for _ in range(2):
            with pytest.raises(WentBack, match=r"the source has gone back: .*--overwrite"):
                await start(source, target)
        assert (target.stored, target.keys) == before, "nothing was taken over, nothing was applied"
        runner, _ = await start(source, target, overwrite=True)
        assert await runner.run() == ""
        assert target.keys == await contents(source, 0)
        await source.close()

    run(story(new_etcd()))


@pytest.mark.parametrize("kind", [plain, with_raft])
def test_following_ends(new_etcd: NewEtcd, tmp_path: Path, kind: Callable[[Server], EtcdStore]) -> None:
    async def story(server: Etcd) -> None:
        source, target = kind(server), TargetModel()
        await puts(source, *numbered("k", 20))
        snapshot = save(server, tmp_path / "snapshot")
        newest = await puts(source, *numbered("n", 30))
        _, running = await following(source, target, newest)
        before = dict(target.keys)
        if isinstance(source, Plain):
            source.open.clear()
        await restore(server, snapshot)
        await puts(etcd_store(server.endpoint), "after=1", *numbered("z", 60))
        if isinstance(source, Plain):
            source.open.set()
        with pytest.raises(WentBack):
            await asyncio.wait_for(running, 120)
        assert target.keys == before
        with pytest.raises(WentBack):
            await start(source, target)
        await source.close()

    run(story(new_etcd()))


async def following(source: EtcdStore, target: TargetModel, revision: int) -> tuple[Runner, "asyncio.Task[str]"]:
    """A migration that follows, and has come to a revision and is synced."""
    runner, watched = await start(source, target, Goal.FOLLOW)
    running = asyncio.create_task(runner.run())
    await watched.until(lambda: target.revision >= revision and runner.migration.phase is Phase.SYNCED)
    return runner, running


def test_following_goes_on_when_the_source_only_restarted(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        source, target, other = with_raft(server), TargetModel(), etcd_store(server.endpoint)
        newest = await puts(source, *numbered("n", 30))
        await migrate(source, target)  # so that the stream of the second process has brought nothing yet
        runner, running = await following(source, target, newest)
        for more in ((), ("n1=2", "n2=2")):
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            newest = await puts(etcd_store(server.endpoint), "later=1", *more)
            await reached(runner, target, newest)
        runner.stop()
        assert await asyncio.wait_for(running, 120) == ""
        assert target.keys == await contents(source, 0)
        await source.close()
        await other.close()

    run(story(new_etcd(fsync=True)))


async def reached(runner: Runner, target: TargetModel, revision: int) -> None:
    """Wait until the target has a revision."""
    watched = runner._observer
    assert isinstance(watched, Watched)
    await watched.until(lambda: target.revision >= revision)


async def compact_at_the_end(source: EtcdStore) -> None:
    """Of the newest revision, a deletion of two keys, an etcd may keep nothing."""
    deleted = await source.delete_range(pb.DeleteRangeRequest(key=b"n1", range_end=b"n1~"))
    await source.compact(pb.CompactionRequest(revision=deleted.header.revision, physical=True))


async def compact_in_the_window(source: EtcdStore) -> None:
    await source.compact(pb.CompactionRequest(revision=await puts(source, "n1=2", "n1=3")))
    await puts(source, "n1=4", "n1=5")


async def compact_before(source: EtcdStore) -> None:
    await source.compact(pb.CompactionRequest(revision=await puts(source, "n1=2")))
    await puts(source, *numbered("m", WINDOW - 1))


async def compact_beyond(source: EtcdStore) -> None:
    """Nothing that was copied last can be read again: the copy starts over."""


@pytest.mark.parametrize("compact", [compact_at_the_end, compact_in_the_window, compact_before, compact_beyond])
@pytest.mark.parametrize("kind", ["etcd", "brainctl"])
def test_a_compaction_is_not_taken_for_it(
    new_etcd: NewEtcd, new_brainctl: NewBrainctl, kind: str, compact: Callable[[EtcdStore], Coroutine[Any, Any, None]]
) -> None:
    async def story(server: Server) -> None:
        source, target = plain(server), TargetModel()
        await puts(source, *numbered("n", 30))
        await compact(source)
        await migrate(source, target)
        if compact is compact_beyond:
            await source.compact(pb.CompactionRequest(revision=await puts(source, "n1=6", "n1=7")))
        for _ in range(2):
            await migrate(source, target)
            assert target.keys == await contents(source, 0)
            assert record_of(target).resyncs == (compact is compact_beyond)
            await puts(source, "n2=2")
        await source.close()

    run(story(new_etcd() if kind == "etcd" else new_brainctl()))


def test_equal_last_revisions_do_not_hide_it(new_etcd: NewEtcd, tmp_path: Path) -> None:
    """The same writes come again after the restore, two of them in another order."""

    async def story(server: Etcd) -> None:
        source, target, other = plain(server), TargetModel(), etcd_store(server.endpoint)
        await puts(source, *numbered("k", 20))
        snapshot = save(server, tmp_path / "snapshot")
        newest = await puts(source, "a=1", "b=1", "c=1", "d=1")
        await migrate(source, target)
        await restore(server, snapshot)
        assert await puts(other, "b=1", "a=1", "c=1", "d=1") == newest
        with pytest.raises(WentBack, match=f"revision {newest - 3} is another one"):
            await start(source, target)
        await restore(server, snapshot)
        assert await puts(other, "a=1", "b=1", "c=1", "d=1") == newest
        await migrate(source, target)  # nothing that was copied is lost
        assert target.keys == await contents(source, 0)
        await source.close()
        await other.close()

    run(story(new_etcd()))


def test_the_raft_log_tells_where_revisions_do_not(new_etcd: NewEtcd, tmp_path: Path) -> None:
    async def story(server: Etcd) -> None:
        source, target, other = with_raft(server), TargetModel(), etcd_store(server.endpoint)
        await puts(source, *numbered("k", 20))
        snapshot = save(server, tmp_path / "snapshot")
        newest = await puts(source, "a=1", "b=1", *numbered("same", WINDOW))
        await migrate(source, target)
        await restore(server, snapshot)
        assert await puts(other, "b=1", "a=1", *numbered("same", WINDOW)) == newest
        with pytest.raises(WentBack, match="its Raft log is at term"):
            await start(source, target)
        await source.close()
        await other.close()

    run(story(new_etcd()))


def test_it_is_noticed_while_the_base_is_copied(new_etcd: NewEtcd, tmp_path: Path) -> None:
    """Pages of two histories are never put together."""

    async def story(server: Etcd) -> None:
        other = etcd_store(server.endpoint)
        await fill(other, 1500)
        snapshot = save(server, tmp_path / "snapshot")
        await other.delete_range(pb.DeleteRangeRequest(key=b"/k/0001", range_end=b"/k/0002"))
        await other.compact(pb.CompactionRequest(revision=await puts(other, "last=1")))
        source, target = Halting(EtcdTarget((server.endpoint,))), TargetModel()
        runner, _ = await start(source, target)
        running = asyncio.create_task(runner.run())
        await asyncio.wait_for(source.halted.wait(), 120)
        await restore(server, snapshot)
        await puts(other, *numbered("z", 10))
        source.open.set()
        with pytest.raises(WentBack):
            await asyncio.wait_for(running, 120)
        assert record_of(target).phase in (Phase.NEW, Phase.COPYING)
        if record_of(target).phase is Phase.COPYING:
            with pytest.raises(WentBack):
                await start(source, target)
        await source.close()
        await other.close()

    run(story(new_etcd()))


class Halting(Plain):
    """Waits before the second page of the base."""

    def __init__(self, target: EtcdTarget) -> None:
        super().__init__(target)
        self.halted = asyncio.Event()
        self._pages = count(1)

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        if request.limit > 1 and next(self._pages) == 2:
            self.open.clear()
            self.halted.set()
        return await super().range(request)

    def beside(self, max_receive: int) -> EtcdStore:
        other = Halting(super().beside(max_receive).target)
        other.open, other.halted, other._pages = self.open, self.halted, self._pages
        return other
