"""A store on TiKV as a migration's target: the copy is exact, repeatable, resumable and fenced."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from brainctl.errors import Fenced, StoreInUse
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.keyversion import put_version
from brainctl.mvcc.lessor import LEASES
from brainctl.stores.replica_tikv import TikvReplica
from brainctl.stores.store import Checkpoint
from brainctl.stores.tikv import open_tikv_replica
from brainctl.tikv.bulk_writer import write_bulk
from brainctl.tikv.state_view import StateView
from brainctl.tikv.succession import Role
from brainctl.tikv.value_codec import NOWHERE, Stored
from tests.peers.servers import Playground
from tests.support.memory import MemoryBackend
from tests.support.partial_base import MARK, base, copy, events
from tests.unit.tikv.calls import EVALUATE, history, listed, put, send, state_of
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.test_model import Requests, nothing_is_left, same_state, stored_in

OpenReplica = Callable[[], AbstractAsyncContextManager[TikvReplica]]


@pytest.fixture
def replica_of(tikv: Playground, prefix: str) -> OpenReplica:
    """Open the test's store as a target: async with replica_of()."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[TikvReplica]:
        replica = await open_tikv_replica(tikv.url(prefix))
        try:
            yield replica
        finally:
            await replica.close()

    return opened


def source(seed: int, writes: int) -> tuple[MemoryBackend, Requests]:
    """A store with a history."""
    requests = Requests(random.Random(seed))
    model = MemoryBackend()
    while len(model.view.log) < writes:
        request = requests.one(model.revision)
        if not isinstance(request, pb.CompactionRequest):
            model.submit(EVALUATE[type(request)][0], request, lambda _: None)
    return model, requests


def checkpoint(epoch: int = 1, state: bytes = b"", run: str = "run") -> Checkpoint:
    return Checkpoint(run, epoch, state)


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_is_exact_also_when_every_step_is_repeated(
    replica_of: OpenReplica, backend_of: OpenBackend, seed: int
) -> None:
    async def run() -> None:
        model, requests = source(seed, 120)
        middle, last = model.revision // 3, model.revision
        async with replica_of() as replica:
            assert await replica.is_empty()
            assert await replica.checkpoint() is None
            await replica.take_over(checkpoint())
            kvs = base(model, middle)
            half = len(kvs) // 2
            await replica.import_base(kvs[:half], middle, checkpoint(state=b"half"))
            await replica.import_base(kvs[:half], middle, checkpoint(state=b"half again"))
            await replica.import_base(kvs[half:], middle, checkpoint(state=b"whole"))
            assert replica.revision == middle
            assert not await replica.is_empty()
            at = middle + 1
            while at <= last:
                to = min(last, at + requests.rng.randrange(8))
                back = max(middle - 3, at - requests.rng.randrange(5))
                await replica.apply(events(model, back, to), to, checkpoint(state=b"%d" % to))
                assert replica.revision == to
                at = to + 1
            await replica.apply([], last + 5, checkpoint(state=b"idle"))
            assert await replica.checkpoint() == checkpoint(state=b"idle")
        model.view.compacted, model.view.revision = middle, last + 5
        # What came with the base has no place in the history.
        model.view.log = [change for change in model.view.log if change.mod_revision > middle]
        async with backend_of() as backend:
            await same_state(model, await state_of(backend), requests)
            wanted = [tuple(one) for one in model.view.history(middle + 1, last)]
            assert await history(backend.view, middle + 1, last) == wanted
            # The history goes on where the source's ended, and the versions of the base are kept for it.
            for key in {change.key for change in model.view.log}:
                answer = await send(backend, pb.PutRequest(key=key, value=b"after"))
                model.submit(EVALUATE[pb.PutRequest][0], pb.PutRequest(key=key, value=b"after"), lambda _: None)
                assert pb.PutResponse.FromString(answer).header.revision == model.revision
            await same_state(model, await state_of(backend), requests)

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(3))
def test_a_base_that_moves_on_while_it_is_copied(replica_of: OpenReplica, backend_of: OpenBackend, seed: int) -> None:
    async def run() -> None:
        model, requests = source(seed, 120)
        async with replica_of() as replica:
            await replica.take_over(MARK)
            last = await copy(model, replica, 1 + 7 * seed)
        async with backend_of() as backend:
            await same_since(model, await state_of(backend), last)
            # A compaction then leaves no trace of the revisions between the first base and the last.
            model.view.log = [change for change in model.view.log if change.mod_revision > last]
            for request in (pb.CompactionRequest(revision=model.revision), pb.PutRequest(key=b"after", value=b"")):
                await send(backend, request)
                model.submit(EVALUATE[type(request)][0], request, lambda _: None)
            await backend._reclaimed.wait()
            await nothing_is_left(model, backend)
            await same_state(model, await state_of(backend), requests)

    asyncio.run(run())


async def same_since(model: MemoryBackend, state: StateView, base: int) -> None:
    """The store serves every revision from the base on, and the history after it, as the model does."""
    assert (state.revision, state.compacted) == (model.revision, base)
    for revision in range(base, model.revision + 1):
        assert [v.kv async for v in state.versions(b"", None, revision)] == [
            v.kv for v in model.view.versions(b"", None, revision)
        ]
    assert await history(state, base + 1, model.revision) == [
        tuple(r) for r in model.view.history(base + 1, model.revision)
    ]


def test_keys_of_a_killed_import_follow_a_base_that_moves_on(replica_of: OpenReplica) -> None:
    """Nothing of the import is committed but keys, which the source then changes and deletes."""

    async def run() -> None:
        old = [put_version(key, b"", 0, 9, sub, None) for sub, key in enumerate([b"a", b"b", b"c"])]
        changed = kv_pb2.Event(kv=kv_pb2.KeyValue.FromString(put_version(b"a", b"new", 0, 10, 0, old[0]).kv))
        gone = kv_pb2.Event(type=kv_pb2.Event.DELETE, kv=kv_pb2.KeyValue(key=b"b", mod_revision=11))
        async with replica_of() as replica:
            await replica.take_over(MARK)
            writer = replica._writer
            layout = writer._layout
            left = ((layout.live(v.key), Stored(True, 9, v.sub, NOWHERE, 0, NOWHERE, v.kv).pack()) for v in old)
            await write_bulk(writer._lead, left)
            await replica.advance_base([changed.SerializeToString(), gone.SerializeToString()], 11, MARK)
            state = await writer.state()
            assert (state.revision, state.compacted) == (11, 11)
            found = [v async for v in state.versions(b"", None, 11)]
            assert [(v.key, v.mod_revision) for v in found] == [(b"a", 10), (b"c", 9)]

    asyncio.run(run())


def test_events_of_the_base_are_skipped_and_not_doubled(replica_of: OpenReplica) -> None:
    async def run() -> None:
        model, _ = source(7, 60)
        last = model.revision
        async with replica_of() as replica:
            await replica.take_over(checkpoint())
            await replica.apply(events(model, 1, last), last, checkpoint())
            state = await replica._writer.state()
            before = [block async for _, block in state.blocks(0)]
            await replica.apply(events(model, 1, last), last, checkpoint())
            state = await replica._writer.state()
            assert [block async for _, block in state.blocks(0)] == before
            assert await history(state, 1, last) == [tuple(one) for one in model.view.history(1, last)]

    asyncio.run(run())


def test_a_large_batch_is_cut_at_whole_revisions(replica_of: OpenReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainctl.tikv.replica.MAX_CHANGES", 7)

    async def run() -> None:
        model, _ = source(8, 100)
        last = model.revision
        async with replica_of() as replica:
            await replica.take_over(checkpoint())
            await replica.apply(events(model, 1, last), last, checkpoint(state=b"all"))
            state = await replica._writer.state()
            assert await history(state, 1, last) == [tuple(one) for one in model.view.history(1, last)]
            revisions = [{change.mod for change in block} async for _, block in state.blocks(0)]
            assert len(revisions) > 5
            assert all(not one & other for number, one in enumerate(revisions) for other in revisions[:number])

    asyncio.run(run())


def test_leases_come_and_go(replica_of: OpenReplica, backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with replica_of() as replica:
            await replica.take_over(checkpoint())
            await replica.import_leases([(7, 60, 30), (-2, 90, 1), (9, 10, 10)], checkpoint())
            await replica.import_leases([(7, 61, 30)], checkpoint())
            await replica.drop_leases([9, 1234], checkpoint(state=b"leases"))
            assert sorted(await replica.leases()) == [-2, 7]
        async with backend_of() as backend:
            assert {int.from_bytes(ttl) for ttl in backend.records(LEASES).values()} == {61, 90}

    asyncio.run(run())


def test_who_was_taken_over_writes_nothing_more(replica_of: OpenReplica, backend_of: OpenBackend) -> None:
    async def run() -> None:
        model, _ = source(3, 40)
        kvs = base(model, model.revision)
        async with backend_of() as server, replica_of() as first, replica_of() as second:
            await first.take_over(checkpoint(1))
            with pytest.raises(Fenced):
                await put(server, b"k")
            await first.import_base(kvs[:2], model.revision, checkpoint(1))
            with pytest.raises(Fenced, match="taken over the migration into the store"):
                await second.take_over(checkpoint(1))
            await second.take_over(checkpoint(2))
            for call in (
                first.import_base(kvs, model.revision, checkpoint(1)),
                first.apply(events(model, 1, 99), 99, checkpoint(1)),
                first.import_leases([(1, 1, 1)], checkpoint(1)),
                first.reset(checkpoint(1)),
                second.apply([], 99, checkpoint(1)),
            ):
                with pytest.raises(Fenced):
                    await call
            state = await second._writer.state()
            assert [kv.SerializeToString() for kv in await listed(state)] == kvs[:2]
            assert await second.checkpoint() == checkpoint(2)
            await second.apply([], 99, checkpoint(2))

    asyncio.run(run())


def test_the_lead_is_kept_while_the_source_is_silent(
    replica_of: OpenReplica, backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signs of life in between neither take the store back nor stand in the way of the stream."""
    monkeypatch.setattr("brainctl.tikv.replica.HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr("brainctl.tikv.leadership.RENEW_SECONDS", 0.0)

    async def run() -> None:
        model, requests = source(6, 60)
        async with replica_of() as replica, backend_of(Role.ON_DEMAND) as visitor:
            await replica.take_over(checkpoint())
            for revision in range(2, model.revision + 1):
                await replica.apply(events(model, revision, revision), revision, checkpoint())
                if revision % 10 == 0:
                    await prolonged(replica)
                with pytest.raises(StoreInUse):
                    await put(visitor, b"k")
            await same_state(model, await replica._writer.state(), requests)

    asyncio.run(run())


async def prolonged(replica: TikvReplica) -> None:
    """Wait until the lead is prolonged although nothing is applied."""
    before = (await replica._writer.state()).head.expires
    async with asyncio.timeout(120):
        while (await replica._writer.state()).head.expires <= before:
            pass


def test_a_reset_leaves_the_checkpoint_only(replica_of: OpenReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainctl.tikv.replica.RESET_KEYS", 5)

    async def run() -> None:
        model, requests = source(4, 80)
        async with replica_of() as replica:
            await replica.take_over(checkpoint())
            await replica.import_base(base(model, 20), 20, checkpoint())
            await replica.apply(events(model, 21, model.revision), model.revision, checkpoint())
            await replica.import_leases([(1, 1, 1)], checkpoint())
            await replica.reset(checkpoint(state=b"over"))
            assert replica.revision == 1
            assert await replica.leases() == []
            assert await replica.checkpoint() == checkpoint(state=b"over")
            state = await replica._writer.state()
            layout = state.layout
            for section in (layout.lives, layout.deads, layout.bases, layout.log):
                assert await stored_in(state, section) == []
            # The same positions of the log come again, with other changes.
            other, _ = source(5, 80)
            await replica.apply(events(other, 1, other.revision), other.revision, checkpoint())
            await same_state(other, await replica._writer.state(), requests)

    asyncio.run(run())


def test_an_interrupted_reset_is_finished_by_whoever_takes_over(
    replica_of: OpenReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        model, _ = source(4, 80)
        async with replica_of() as replica:
            await replica.take_over(checkpoint())
            await replica.import_base(base(model, model.revision), model.revision, checkpoint())

            async def die(*_: object) -> None:
                raise asyncio.CancelledError

            with monkeypatch.context() as patched:
                patched.setattr(replica._writer, "_remove_all", die)
                with pytest.raises(asyncio.CancelledError):
                    await replica.reset(checkpoint(state=b"over"))
            assert not await replica.is_empty()
        async with replica_of() as replica:
            assert await replica.checkpoint() == checkpoint(state=b"over")
            await replica.take_over(checkpoint(2))
            state = await replica._writer.state()
            assert await state.count(b"", None, 0) == 0
            assert replica.revision == 1

    asyncio.run(run())


KEYS = 7000
KILLS = 3
"""Each lets two of the seven imports happen at most: the copy is never whole before the last process."""
COPIER = """
import asyncio, sys
from brainctl.mvcc.keyversion import put_version
from brainctl.stores.store import Checkpoint
from brainctl.stores.tikv import open_tikv_replica

async def main(url, epoch, first, keys):
    replica = await open_tikv_replica(url)
    await replica.take_over(Checkpoint("run", epoch, b"%d" % first))
    for at in range(first, keys, 1000):
        kvs = [put_version(b"k%06d" % n, b"v" * 100, 0, n + 2, 0, None).kv for n in range(at, at + 1000)]
        await replica.import_base(kvs, keys + 2, Checkpoint("run", epoch, b"%d" % (at + 1000)))
        print(at + 1000, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    await replica.close()

asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""


@pytest.mark.crash
def test_a_killed_copy_is_resumed_from_its_checkpoint(tikv: Playground, prefix: str, replica_of: OpenReplica) -> None:
    async def run() -> None:
        rng = random.Random(1)
        for epoch in range(1, KILLS + 2):
            async with replica_of() as replica:
                stored = await replica.checkpoint()
                first = int(stored.state) if stored else 0
                count = await (await replica._writer.state()).count(b"", None, 0)
            assert count >= first, "the checkpoint counts keys that are not there"
            copier = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", COPIER, tikv.url(prefix), str(epoch), str(first), str(KEYS)),
                stdin=asyncio.subprocess.PIPE if epoch <= KILLS else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
            if epoch > KILLS:
                await copier.communicate()
                assert copier.returncode == 0
                break
            # Somewhere inside of the import that follows a checkpoint; it waits for a line after that one.
            assert copier.stdout is not None
            assert copier.stdin is not None
            assert await copier.stdout.readline(), "it ended by itself"
            copier.stdin.write(b"\n")
            await copier.stdin.drain()
            await asyncio.sleep(rng.uniform(0, 0.04))
            copier.send_signal(signal.SIGKILL)
            await copier.communicate()
            assert copier.returncode == -signal.SIGKILL
        async with replica_of() as replica:
            state = await replica._writer.state()
            found = await listed(state)
            assert [kv.key for kv in found] == [b"k%06d" % n for n in range(KEYS)]
            assert [kv.mod_revision for kv in found] == list(range(2, KEYS + 2))
            assert (state.revision, state.compacted) == (KEYS + 2, KEYS + 2)

    asyncio.run(run())
