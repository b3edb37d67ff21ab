"""v3lock on a node, on `brainctl serve` and on a real etcd."""

import time
from collections.abc import Callable
from itertools import count

import pytest

from brainctl.errors import Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import v3lock_pb2 as lockpb
from tests.support.apis import api as api  # noqa: PLC0414 - pytest finds fixtures by their name here
from tests.support.rbac import KV, LEASE
from tests.support.rpc import SECONDS, Api, Refused

LOCK = "/v3lockpb.Lock/Lock"
UNLOCK = "/v3lockpb.Lock/Unlock"
NUMBERS = count(1)


def until(condition: Callable[[], bool]) -> None:
    """Ask again until the answer is yes: a change shows when it is durable, however slow the disk is just now."""
    give_up = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < give_up


class Locks:
    """A lock of the test's own."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.name = b"lock%d" % next(NUMBERS)

    def lease(self) -> int:
        return int(self.api.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(TTL=1000)).ID)

    def request(self, lease: int) -> lockpb.LockRequest:
        return lockpb.LockRequest(name=self.name, lease=lease)

    def key(self, lease: int) -> bytes:
        return self.name + b"/%x" % lease

    def queued(self, lease: int) -> bool:
        return bool(self.api.call(KV + "Range", pb.RangeRequest(key=self.key(lease))).count)

    def unlock(self, lease: int) -> int:
        return int(self.api.call(UNLOCK, lockpb.UnlockRequest(key=self.key(lease))).header.revision)


@pytest.fixture
def locks(api: Api) -> Locks:
    return Locks(api)


def test_a_free_lock_is_given_at_once(locks: Locks) -> None:
    lease = locks.lease()
    held = locks.api.call(LOCK, locks.request(lease))
    assert held.key == locks.key(lease)
    stored = locks.api.call(KV + "Range", pb.RangeRequest(key=held.key))
    assert (stored.kvs[0].lease, stored.kvs[0].value) == (lease, b"")
    assert held.header.revision == stored.kvs[0].create_revision


def test_the_same_lease_may_lock_again(locks: Locks) -> None:
    lease = locks.lease()
    first = locks.api.call(LOCK, locks.request(lease))
    second = locks.api.call(LOCK, locks.request(lease))
    assert (second.key, second.header.revision) == (first.key, first.header.revision)


def test_without_a_lease_one_is_granted_for_a_minute(locks: Locks) -> None:
    held = locks.api.call(LOCK, locks.request(0))
    lease = int(held.key.rpartition(b"/")[2], 16)
    assert locks.api.call(LEASE + "LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease)).grantedTTL == 60


def test_others_wait_in_the_order_in_which_they_came(locks: Locks) -> None:
    first, second, third = (locks.lease() for _ in range(3))
    locks.api.call(LOCK, locks.request(first))
    waiting = []
    for lease in (second, third):
        waiting.append(locks.api.start(LOCK, locks.request(lease)))
        until(lambda lease=lease: locks.queued(lease))
    for lease, after, pending in ((second, first, waiting[0]), (third, second, waiting[1])):
        unlocked = locks.unlock(after)
        held = pending.next()
        assert held.key == locks.key(lease)
        assert held.header.revision >= unlocked


def test_who_goes_away_leaves_the_queue(locks: Locks) -> None:
    first, second, third = (locks.lease() for _ in range(3))
    locks.api.call(LOCK, locks.request(first))
    gone = locks.api.start(LOCK, locks.request(second))
    until(lambda: locks.queued(second))
    patient = locks.api.start(LOCK, locks.request(third))
    until(lambda: locks.queued(third))
    gone.cancel()
    until(lambda: not locks.queued(second))
    locks.unlock(first)
    assert patient.next().key == locks.key(third)


def test_the_end_of_the_lease_of_the_holder_passes_the_lock_on(locks: Locks) -> None:
    first, second = locks.lease(), locks.lease()
    locks.api.call(LOCK, locks.request(first))
    pending = locks.api.start(LOCK, locks.request(second))
    until(lambda: locks.queued(second))
    locks.api.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(ID=first))
    assert pending.next().key == locks.key(second)


def test_whose_own_lease_ends_while_waiting_does_not_get_the_lock(locks: Locks) -> None:
    first, second = locks.lease(), locks.lease()
    locks.api.call(LOCK, locks.request(first))
    pending = locks.api.start(LOCK, locks.request(second))
    until(lambda: locks.queued(second))
    locks.api.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(ID=second))
    locks.unlock(first)
    with pytest.raises(Refused, match="mutex: session is expired") as refused:
        pending.next()
    assert refused.value.code is Code.UNKNOWN


def test_errors_carry_the_text_and_no_code(locks: Locks) -> None:
    for path, request, text in (
        (LOCK, locks.request(123_456), "etcdserver: requested lease not found"),
        (UNLOCK, lockpb.UnlockRequest(), "etcdserver: key is not provided"),
    ):
        with pytest.raises(Refused) as refused:
            locks.api.call(path, request)
        assert (refused.value.code, refused.value.text) == (Code.UNKNOWN, text)


def test_unlocking_what_is_not_locked_does_nothing(locks: Locks) -> None:
    before = locks.api.call(KV + "Range", pb.RangeRequest(key=b"nothing")).header.revision
    assert locks.api.call(UNLOCK, lockpb.UnlockRequest(key=b"nothing")).header.revision == before
