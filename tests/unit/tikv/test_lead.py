"""Who may write: one process at a time; the others learn it before they could do harm."""

import asyncio

import pytest

from brainctl.errors import ApiError, Fenced, StoreInUse
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.commit import Commit
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.succession import Role
from tests.unit.tikv.calls import compact, delete, put, send, state_of, value
from tests.unit.tikv.conftest import OpenBackend


def test_a_second_leader_fences_the_first(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as first, backend_of(usurping=True) as second:
            failures: list[Exception] = []
            first.on_failure = failures.append
            with pytest.raises(Fenced):
                await put(first, b"k", b"first")
            assert len(failures) == 1
            assert await put(second, b"k", b"second") == 2
            assert await value(first, b"k") == b"second"
            with pytest.raises(Fenced):
                await put(first, b"k", b"again")
            assert await put(second, b"k", b"third") == 3

    asyncio.run(run())


def test_of_two_leaders_every_answered_write_is_kept_and_no_other(backend_of: OpenBackend) -> None:
    """Take-overs in the middle of a stream of writes: what was acknowledged is there, what was fenced is not."""

    async def run() -> None:
        acknowledged: dict[bytes, int] = {}
        fenced: list[bytes] = []
        busy = asyncio.Event()

        async def keep_writing(backend: TikvBackend, name: bytes) -> None:
            for number in range(10_000):
                key = b"%b/%04d" % (name, number)
                try:
                    acknowledged[key] = await put(backend, key)
                    if number == 20:
                        busy.set()
                except Fenced:
                    fenced.append(key)
                    return

        async with backend_of() as first:
            writing = asyncio.ensure_future(keep_writing(first, b"first"))
            await busy.wait()
            async with backend_of(usurping=True) as second:
                await writing
                await put(second, b"second")
                state = await state_of(second)
                found = {v.key: v.mod_revision async for v in state.versions(b"first", b"first0", 0)}
                assert found == acknowledged
                assert len(fenced) == 1
                assert fenced[0] not in found

    asyncio.run(run())


def test_the_lead_is_taken_on_demand_only_when_nobody_has_it(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of(Role.ON_DEMAND) as visitor:
            async with backend_of() as leader:
                await put(leader, b"k", b"leader")
                with pytest.raises(StoreInUse):
                    await put(visitor, b"k", b"visitor")
                assert await value(visitor, b"k") == b"leader"
            # The leader gave the lead back, so nobody has to wait for its lease to run out.
            assert await put(visitor, b"k", b"visitor") == 3
            async with backend_of(Role.ON_DEMAND) as other:
                assert await value(other, b"k") == b"visitor"
                assert other.header(1) == visitor.header(1)

    asyncio.run(run())


def test_a_follower_never_writes_and_sees_every_commit(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as leader, backend_of(Role.FOLLOWER) as follower:
            seen: dict[str, list[Commit]] = {"leader": [], "follower": []}
            caught_up = asyncio.Event()

            def follow(commit: Commit) -> None:
                seen["follower"].append(commit)
                if commit.revision == last:
                    caught_up.set()

            last = 44
            leader.subscribe(seen["leader"].append)
            follower.subscribe(follow)
            with pytest.raises(ApiError, match="not leader"):
                await put(follower, b"k")
            pending = [send(leader, pb.PutRequest(key=b"k%d" % (n % 7), value=b"%d" % n)) for n in range(40)]
            await asyncio.gather(*pending)
            await delete(leader, b"k", b"l")
            await compact(leader, 30)
            await put(leader, b"k3", b"back")
            await put(leader, b"k3", b"again")
            await asyncio.wait_for(caught_up.wait(), 120)
            for what in ("changes", "before"):
                flat = {
                    who: [one for commit in commits for one in getattr(commit, what)] for who, commits in seen.items()
                }
                # Versions not younger than a compaction may be gone when a follower looks for them.
                assert flat["follower"] == flat["leader"] or what == "before"
            assert follower.revision == leader.revision == last
            assert follower.compacted == leader.compacted == 30

    asyncio.run(run())


def test_a_fenced_leader_goes_on_as_a_follower(backend_of: OpenBackend) -> None:
    async def run() -> None:
        async with backend_of() as first:
            seen: list[int] = []
            caught_up = asyncio.Event()

            def observe(commit: Commit) -> None:
                seen.append(commit.revision)
                if commit.revision == 5:
                    caught_up.set()

            first.subscribe(observe)
            await put(first, b"a")
            async with backend_of(usurping=True) as second:
                with pytest.raises(Fenced):
                    await put(first, b"b")
                for _ in range(3):
                    await put(second, b"c")
                await asyncio.wait_for(caught_up.wait(), 120)
            assert seen == sorted(set(seen))

    asyncio.run(run())


@pytest.mark.parametrize(("lease_ms", "certain"), [(5_000_000, True), (0, False)])
def test_a_leader_is_certain_of_its_lead_as_long_as_its_lease_lasts(
    backend_of: OpenBackend, monkeypatch: pytest.MonkeyPatch, lease_ms: int, certain: bool
) -> None:
    """Afterwards another process may have taken it, and so the leader may not tell how long a lease lives."""
    monkeypatch.setattr("brainctl.tikv.leadership.WRITER_LEASE_MS", lease_ms)

    async def run() -> None:
        async with backend_of() as leader:
            assert leader.leads
            assert leader.term == (leader.writer.epoch if certain else 0)
            await put(leader, b"k")
            assert leader.term == (leader.writer.epoch if certain else 0)

    asyncio.run(run())


def test_who_reads_the_head_of_another_leader_steps_down(backend_of: OpenBackend) -> None:
    """A leader that was stopped learns of its loss by a read, before it writes."""

    async def run() -> None:
        async with backend_of() as first:
            await put(first, b"k", b"old")
            async with backend_of(usurping=True) as second:
                await put(second, b"k", b"new")
                assert await value(first, b"k") == b"new"
                assert not first.leads
                with pytest.raises(Fenced):
                    await put(first, b"k", b"late")

    asyncio.run(run())
