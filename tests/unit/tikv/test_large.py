"""Revisions of more changes than one transaction takes: seen whole or not at all, wherever their writing breaks off."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import pytest

from brainctl.clock import ManualClock
from brainctl.errors import BrainctlError
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.commit import Commit
from brainctl.stores.in_process import NodeStore
from brainctl.stores.tikv import open_tikv, open_tikv_replica
from brainctl.tikv import ahead
from brainctl.tikv import bulk_writer as lanes
from brainctl.tikv import commit_codec as encode
from brainctl.tikv import leadership as lead
from brainctl.tikv.client.transactions import OwnTransaction
from brainctl.tikv.errors import Failure, TikvFailed
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground
from tests.support.memory import MemoryBackend
from tests.unit.tikv.calls import EVALUATE, put, read, send, state_of
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.test_model import Requests, nothing_is_left, same_answer, same_state
from tests.unit.tikv.test_replica import checkpoint

MANY = 25_000
"""More changes than the store used to take in one revision."""


class Died(TikvFailed):
    """What a process meets that is about to be killed."""

    def __init__(self) -> None:
        super().__init__(Failure.UNAVAILABLE, "the process dies here")


class Mortal:
    """Lets the clients of this process make some commits; then one is lost, or made and not answered, and no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.made_at_last = False
        self._patch = monkeypatch
        commit = OwnTransaction.commit

        async def mortal(transaction: OwnTransaction, writes: Mapping[bytes, bytes | None]) -> int:
            if self.left == 0:
                raise Died
            self.left -= 1
            if self.left == 0 and not self.made_at_last:
                raise Died
            committed = await commit(transaction, writes)
            if self.left == 0:
                raise Died
            return committed

        monkeypatch.setattr(OwnTransaction, "commit", mortal)

    def after(self, commits: int) -> None:
        """Let it die with this commit from now on, which is then not tried again."""
        self.left = commits
        self._patch.setattr(lead, "PATIENCE", 0.0)

    def never(self) -> None:
        """Let it live."""
        self.left = -1
        self._patch.setattr(lead, "PATIENCE", 60.0)


def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few changes count as many, and write few at a time."""
    monkeypatch.setattr(ahead, "LARGE_CHANGES", 4)
    monkeypatch.setattr(lanes, "CHUNK_KEYS", 8)
    monkeypatch.setattr(encode, "BLOCK_BYTES", 300)


def large(requests: Requests) -> pb.TxnRequest:
    """Puts of some keys, deletes of others, whatever there was before."""
    keys = [b"\x00", b"a", b"a$", b"b/\xff", b"m", b"t", b"new/%d" % requests.rng.randrange(100)]
    puts = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=requests.rng.randbytes(100))) for key in keys]
    gone = [pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key)) for key in (b"aa", b"n\x00x", b"z")]
    return pb.TxnRequest(success=[*puts, *gone])


@pytest.mark.parametrize("made_at_last", [False, True], ids=["lost", "made"])
def test_a_process_that_dies_at_any_step_leaves_nothing_or_all(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch, made_at_last: bool
) -> None:
    small_steps(monkeypatch)
    mortal = Mortal(monkeypatch)
    mortal.made_at_last = made_at_last

    async def run() -> None:
        requests = Requests(random.Random(5))
        model = MemoryBackend()
        async with backend_of(Role.FOLLOWER) as reader:
            for steps in range(1, 40):
                async with backend_of(usurping=True) as backend:
                    await same_state(model, await state_of(reader), requests)
                    for _ in range(6):
                        request = requests.put()
                        await same_answer(model, request, send(backend, request))
                    if steps % 4 == 2:
                        request = pb.CompactionRequest(revision=model.revision - 2)
                        await same_answer(model, request, send(backend, request))
                        await backend.defragment()
                    request = large(requests)
                    mortal.after(steps)
                    answer = (await asyncio.gather(send(backend, request), return_exceptions=True))[0]
                    survived = mortal.left > 0
                    mortal.after(0)
                # Nobody has repaired anything yet.
                if (await state_of(reader)).revision > model.revision:
                    model.submit(EVALUATE[type(request)][0], request, lambda _: None)
                else:
                    assert isinstance(answer, BrainctlError)
                await same_state(model, await state_of(reader), requests)
                mortal.never()
                if survived:
                    break
            assert steps > 5
            async with backend_of() as backend:
                await same_state(model, await state_of(backend), requests)
                request = pb.CompactionRequest(revision=model.revision)
                await same_answer(model, request, send(backend, request))
                await backend.defragment()
                await nothing_is_left(model, backend)

    asyncio.run(run())


def test_a_leader_whose_large_commit_fails_goes_on(backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    small_steps(monkeypatch)
    mortal = Mortal(monkeypatch)

    async def run() -> None:
        requests = Requests(random.Random(6))
        model = MemoryBackend()
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as reader:
            seen: list[Commit] = []
            backend.subscribe(seen.append)
            for steps in (1, 2, 3, 4):
                mortal.after(steps)
                with pytest.raises(BrainctlError):
                    await send(backend, large(requests))
                await same_state(model, await state_of(reader), requests)
                mortal.never()
                for request in (requests.put(), large(requests)):
                    await same_answer(model, request, send(backend, request))
                await same_state(model, await state_of(reader), requests)
            assert [commit.revision for commit in seen] == list(range(2, 10))

    asyncio.run(run())


def test_undoing_can_be_interrupted_at_any_step(backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    small_steps(monkeypatch)
    mortal = Mortal(monkeypatch)

    async def run() -> None:
        requests = Requests(random.Random(7))
        model = MemoryBackend()
        async with backend_of() as backend, backend_of(Role.FOLLOWER) as reader:
            for request in (large(requests), large(requests), pb.CompactionRequest(revision=2)):
                await same_answer(model, request, send(backend, request))
            await backend.defragment()
            mortal.after(4)
            with pytest.raises(BrainctlError):
                await send(backend, large(requests))
            assert (await state_of(reader)).head.ahead == model.revision + 1
            for steps in range(1, 20):
                mortal.after(steps)
                answer = (await asyncio.gather(put(backend, b"k"), return_exceptions=True))[0]
                mortal.never()
                if not isinstance(answer, BaseException):
                    break
                await same_state(model, await state_of(reader), requests)
            assert steps > 3
            model.submit(EVALUATE[pb.PutRequest][0], pb.PutRequest(key=b"k", value=b"v"), lambda _: None)
            await same_state(model, await state_of(reader), requests)

    asyncio.run(run())


async def expire(store: NodeStore, clock: ManualClock) -> None:
    """Let the lease of all keys run out; return when it is revoked."""
    gone = asyncio.Event()
    store.node.backend.subscribe(lambda _: gone.set())
    await store.lease_time_to_live(pb.LeaseTimeToLiveRequest(ID=7))  # the keys with leases are known
    clock.advance(6000)
    await asyncio.wait_for(gone.wait(), 120)


async def delete(store: NodeStore, _: ManualClock) -> None:
    response = await store.delete_range(pb.DeleteRangeRequest(key=b"k", range_end=b"l"))
    assert (response.deleted, response.header.revision) == (MANY, 3)


@pytest.mark.parametrize("end", [expire, delete])
def test_very_many_keys_end_as_one_revision(
    tikv: Playground, prefix: str, backend_of: OpenBackend, end: Callable[[NodeStore, ManualClock], Awaitable[None]]
) -> None:
    """Nobody sees a part of it: not a reader at any moment, not a watcher of another process."""

    async def run() -> None:
        replica = await open_tikv_replica(tikv.url(prefix))
        await replica.take_over(checkpoint())
        kvs = [
            kv_pb2.KeyValue(key=b"k%05d" % n, create_revision=2, mod_revision=2, version=1, lease=7, value=b"v")
            for n in range(MANY)
        ]
        await replica.import_leases([(7, 600, 600)], checkpoint())
        await replica.import_base([kv.SerializeToString() for kv in kvs], 2, checkpoint())
        await replica.close()
        clock = ManualClock()
        store = await open_tikv(tikv.url(prefix), Role.LEADER, clock)
        async with backend_of(Role.FOLLOWER) as follower:
            commits: list[Commit] = []
            arrived = asyncio.Event()

            def follow(commit: Commit) -> None:
                commits.append(commit)
                arrived.set()

            follower.subscribe(follow)
            ended = asyncio.ensure_future(end(store, clock))
            counts = set()
            while not ended.done():
                counts.add((await read(follower, b"k00000", b"k00100", count_only=True)).count)
            await ended
            assert counts <= {0, 100}
            await asyncio.wait_for(arrived.wait(), 120)
            assert [(commit.revision, len(commit.changes)) for commit in commits] == [(3, MANY)]
            assert (await read(follower, b"k", b"l", count_only=True)).count == 0
            assert (await store.put(pb.PutRequest(key=b"k"))).header.revision == 4
        await store.close()

    asyncio.run(run())
