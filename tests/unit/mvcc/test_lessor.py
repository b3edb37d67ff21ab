"""Leases: what hangs on them after any history, and when they expire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.clock import ManualClock
from brainctl.errors import LEASE_EXISTS, LEASE_NOT_FOUND, LEASE_TTL_TOO_LARGE, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch, lease_record
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.lessor import LEASES, MAX_TTL, Lessor, decode_ttl, encode_ttl, grant, lease_id, revoke
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.steps import finish
from tests.support.memory import MemoryBackend


class World:
    """A lessor that follows a store."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.clock = ManualClock()
        self.lessor = Lessor(self.clock)
        self.commits: list[Commit] = []
        self.backend.subscribe(self.lessor.publish)
        self.backend.subscribe(self.commits.append)

    def batch(self) -> Batch:
        return Batch(PendingWrites(self.backend.view), self.backend.record, self.backend.header)

    def publish(self, batch: Batch) -> None:
        self.backend.view.publish(batch.commit)
        for observer in self.backend.observers:
            observer(batch.commit)

    def grant(self, lease: int, ttl: int = 10) -> int:
        batch = self.batch()
        granted = grant(batch, lease, ttl)
        self.publish(batch)
        return granted

    def revoke(self, lease: int) -> None:
        batch = self.batch()
        finish(revoke(batch, lease, self.lessor.attached(lease)))
        self.publish(batch)

    def put(self, key: bytes, lease: int = 0) -> None:
        batch = self.batch()
        batch.put(pb.PutRequest(key=key, lease=lease))
        self.publish(batch)

    def keep_alive(self, lease: int) -> list[int]:
        answers: list[int] = []
        self.lessor.keep_alive(lease, answers.append)
        return answers


@pytest.fixture
def world() -> World:
    return World()


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, MAX_TTL))
def test_records_keep_id_and_ttl(lease: int, ttl: int) -> None:
    assert lease_record(lease).startswith(LEASES)
    assert lease_id(lease_record(lease)) == lease
    assert decode_ttl(encode_ttl(ttl)) == ttl


@pytest.mark.parametrize(("asked", "granted"), [(-5, 2), (0, 2), (1, 2), (2, 2), (3, 3), (MAX_TTL, MAX_TTL)])
def test_a_grant_is_at_least_two_seconds(world: World, asked: int, granted: int) -> None:
    assert world.grant(1, asked) == granted
    lease = world.lessor.get(1)
    assert lease is not None
    assert lease.ttl == granted


def test_refusals(world: World) -> None:
    world.grant(1)
    for status, act in [
        (LEASE_EXISTS, lambda: world.grant(1)),
        (LEASE_TTL_TOO_LARGE, lambda: world.grant(2, MAX_TTL + 1)),
        (LEASE_NOT_FOUND, lambda: world.revoke(2)),
        (LEASE_NOT_FOUND, lambda: world.put(b"a", 2)),
    ]:
        revision = world.backend.revision
        with pytest.raises(ApiError) as refused:
            act()
        assert refused.value.status == status
        assert world.backend.revision == revision


def test_a_grant_is_no_revision(world: World) -> None:
    world.grant(1)
    assert world.backend.revision == 1


def test_a_revoke_deletes_its_keys_in_one_revision_in_key_order(world: World) -> None:
    world.grant(1)
    world.grant(2)
    for key in (b"c", b"a", b"b"):
        world.put(key, 1)
    world.put(b"d", 2)
    world.put(b"b", 2)
    before = world.backend.revision
    world.revoke(1)
    changes = world.commits[-1].changes
    assert [(change.key, change.version, change.mod_revision) for change in changes] == [
        (b"a", 0, before + 1),
        (b"c", 0, before + 1),
    ]
    assert world.commits[-1].meta == {lease_record(1): None}
    assert world.lessor.get(1) is None
    assert world.lessor.attached(2) == {b"b", b"d"}


def test_a_put_without_lease_detaches(world: World) -> None:
    world.grant(1)
    world.put(b"a", 1)
    world.put(b"a")
    assert not world.lessor.attached(1)
    world.revoke(1)
    assert world.backend.view.get(b"a") is not None


def test_one_batch_sees_its_own_grants_and_puts(world: World) -> None:
    batch = world.batch()
    grant(batch, 1, 10)
    batch.put(pb.PutRequest(key=b"a", lease=1))
    finish(revoke(batch, 1, ()))
    with pytest.raises(ApiError):
        batch.put(pb.PutRequest(key=b"b", lease=1))
    world.publish(batch)
    assert world.backend.view.get(b"a") is None
    assert world.lessor.get(1) is None
    assert not world.backend.view.meta


def test_leases_expire_unless_kept_alive(world: World) -> None:
    world.grant(1, 10)
    world.grant(2, 10)
    world.clock.advance(9)
    assert world.keep_alive(1) == [10]
    assert world.lessor.expired(100) == []
    world.clock.advance(1)
    assert world.lessor.expired(100) == [2]
    assert world.lessor.expired(100) == [], "it is being revoked"
    world.clock.advance(3)
    assert world.lessor.expired(100) == [2], "but it is still there"
    world.revoke(2)
    world.clock.advance(6)
    assert world.lessor.expired(100) == [1]


def test_an_expired_lease_cannot_be_saved(world: World) -> None:
    world.grant(1, 10)
    world.clock.advance(10)
    answers = world.keep_alive(1)
    assert answers == []
    world.revoke(1)
    assert answers == [0]
    assert world.keep_alive(1) == [0]


def test_b4_10_expiry_is_rationed(world: World) -> None:
    for lease in range(1, 11):
        world.grant(lease, lease)
    world.clock.advance(100)
    first = world.lessor.expired(4)
    assert len(first) == 4
    assert first + world.lessor.expired(100) == list(range(1, 11))


def test_what_remains_and_who_is_first(world: World) -> None:
    for lease, ttl in ((1, 30), (2, 10), (3, 20)):
        world.grant(lease, ttl)
    world.clock.advance(0.5)
    assert [(lease.id, world.lessor.remaining(lease)) for lease in world.lessor.leases()] == [(2, 9), (3, 19), (1, 29)]


def test_after_a_restart_leases_have_their_full_time(world: World) -> None:
    world.grant(7, 10)
    world.put(b"a", 7)
    world.clock.advance(9)
    again = Lessor(world.clock)
    again.load(world.backend.records(LEASES))
    lease = again.get(7)
    assert lease is not None
    assert again.remaining(lease) == 10
    assert again.recovering
    again.recover(world.backend.view.versions(b"", None, 0))
    again.recovered()
    assert again.attached(7) == {b"a"}
    assert not again.recovering


def test_a_key_that_changed_during_recovery_is_not_taken_from_the_past(world: World) -> None:
    world.grant(7)
    world.put(b"a", 7)
    stale = list(world.backend.view.versions(b"", None, 0))
    again = Lessor(world.clock)
    again.load(world.backend.records(LEASES))
    world.backend.subscribe(again.publish)
    world.put(b"a")
    again.recover(stale)
    again.recovered()
    assert not again.attached(7)


actions = st.lists(
    st.tuples(st.sampled_from(["grant", "revoke", "put", "delete"]), st.integers(1, 3), st.sampled_from(b"abc")),
    max_size=25,
)


@given(actions, st.integers(1, 5))
def test_attachments_are_what_the_versions_say(steps: list[tuple[str, int, int]], size: int) -> None:
    """Any history, in group commits of any size: the keys of a lease are the live keys that name it."""
    world = World()
    for start in range(0, len(steps), size):
        batch = world.batch()
        for action, lease, letter in steps[start : start + size]:
            key = bytes((letter,))
            try:
                if action == "grant":
                    grant(batch, lease, 10)
                elif action == "revoke":
                    finish(revoke(batch, lease, world.lessor.attached(lease)))
                elif action == "put":
                    batch.put(pb.PutRequest(key=key, lease=lease))
                else:
                    batch.delete_range(pb.DeleteRangeRequest(key=key))
            except ApiError:
                pass
        world.publish(batch)
        live = list(world.backend.view.versions(b"", None, 0))
        for lease in (1, 2, 3):
            assert world.lessor.attached(lease) == {version.key for version in live if version.lease == lease}
            assert (world.lessor.get(lease) is not None) == (lease_record(lease) in world.backend.view.meta)
        assert all(version.lease == 0 or world.lessor.get(version.lease) for version in live), (
            "a key outlived its lease"
        )
