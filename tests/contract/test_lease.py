"""Leases: grant, attach, keep alive, revoke, expire."""

import pytest

from brainctl.errors import LEASE_EXISTS, LEASE_NOT_FOUND, LEASE_TTL_TOO_LARGE
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.contract.driver import Driver, after, put

UNKNOWN = 0x7FFF_FFFF_0000_0002


@pytest.fixture
def lease(store: Driver) -> int:
    return store.grant(60).ID


def test_the_store_chooses_an_id(store: Driver) -> None:
    first, second = store.grant(60), store.grant(60)
    assert first.ID > 0
    assert first.ID != second.ID
    assert first.TTL == 60
    assert {first.ID, second.ID} <= set(store.leases())


def test_an_id_is_granted_once(store: Driver, lease: int) -> None:
    request = pb.LeaseGrantRequest(TTL=60, ID=lease)
    assert store.status_of(store.store.lease_grant(request)) == LEASE_EXISTS


def test_an_id_may_be_chosen(store: Driver, lease: int) -> None:
    store.revoke(lease)
    assert store.grant(60, lease).ID == lease


@pytest.mark.parametrize("ttl", [-1, 0, 1])
def test_a_short_ttl_is_raised(store: Driver, ttl: int) -> None:
    granted = store.grant(ttl)
    assert granted.TTL == 2
    store.revoke(granted.ID)


def test_a_ttl_beyond_all_measure_is_refused(store: Driver) -> None:
    request = pb.LeaseGrantRequest(TTL=9_000_000_001)
    assert store.status_of(store.store.lease_grant(request)) == LEASE_TTL_TOO_LARGE


def test_granting_does_not_advance_the_revision(store: Driver) -> None:
    revision = store.revision
    assert store.grant(60).header.revision == revision
    assert store.revision == revision


def test_the_time_to_live_and_the_keys(store: Driver, key: bytes, lease: int) -> None:
    store.put(key + b"b", lease=lease)
    store.put(key + b"a", lease=lease)
    found = store.time_to_live(lease, keys=True)
    assert (found.ID, found.grantedTTL, sorted(found.keys)) == (lease, 60, [key + b"a", key + b"b"])
    assert 0 < found.TTL <= 60
    assert list(store.time_to_live(lease).keys) == []


def test_an_unknown_lease_has_a_ttl_of_minus_one(store: Driver) -> None:
    found = store.time_to_live(UNKNOWN, keys=True)
    assert (found.ID, found.TTL, found.grantedTTL) == (UNKNOWN, -1, 0)


def test_keeping_alive_restores_the_ttl(store: Driver, lease: int) -> None:
    kept = store.keep_alive(lease)
    assert (kept.ID, kept.TTL) == (lease, 60)


def test_keeping_an_unknown_lease_alive_answers_zero(store: Driver) -> None:
    kept = store.keep_alive(UNKNOWN)
    assert (kept.ID, kept.TTL) == (UNKNOWN, 0)


def test_revoking_deletes_all_keys_in_one_revision(store: Driver, key: bytes, lease: int) -> None:
    for name in (b"c", b"a", b"b"):
        store.put(key + name, lease=lease)
    revision = store.revision
    with store.watch() as watch:
        assert watch.create(key, after(key), start_revision=revision + 1).created
        assert store.revoke(lease).header.revision == revision + 1
        events = watch.events(3)
    assert [event.kv.key for event in events] == [key + b"a", key + b"b", key + b"c"]
    assert {(event.type, event.kv.mod_revision) for event in events} == {(kv_pb2.Event.DELETE, revision + 1)}
    assert store.get(key, after(key)).count == 0
    assert lease not in store.leases()


def test_revoking_a_lease_without_keys_does_not_advance_the_revision(store: Driver, lease: int) -> None:
    revision = store.revision
    store.revoke(lease)
    assert store.revision == revision


def test_revoking_an_unknown_lease_is_refused(store: Driver) -> None:
    assert store.status_of(store.store.lease_revoke(pb.LeaseRevokeRequest(ID=UNKNOWN))) == LEASE_NOT_FOUND


def test_a_put_without_a_lease_detaches(store: Driver, key: bytes, lease: int) -> None:
    store.put(key, lease=lease)
    store.put(key)
    assert list(store.time_to_live(lease, keys=True).keys) == []
    store.revoke(lease)
    assert store.get(key).count == 1


def test_a_key_has_one_lease(store: Driver, key: bytes, lease: int) -> None:
    other = store.grant(60).ID
    store.put(key, lease=lease)
    store.put(key, lease=other)
    assert list(store.time_to_live(lease, keys=True).keys) == []
    assert list(store.time_to_live(other, keys=True).keys) == [key]
    store.revoke(lease)
    assert store.get(key).kvs[0].lease == other


def test_a_deleted_key_leaves_its_lease(store: Driver, key: bytes, lease: int) -> None:
    store.put(key, lease=lease)
    store.delete(key)
    assert list(store.time_to_live(lease, keys=True).keys) == []


def test_a_transaction_attaches_and_refuses_unknown_leases(store: Driver, key: bytes, lease: int) -> None:
    store.txn(success=[put(key, lease=lease)])
    assert list(store.time_to_live(lease, keys=True).keys) == [key]
    request = pb.TxnRequest(success=[put(key + b"x"), put(key + b"y", lease=UNKNOWN)])
    assert store.status_of(store.store.txn(request)) == LEASE_NOT_FOUND
    assert store.get(key + b"x").count == 0


def test_an_expired_lease_takes_its_keys_along(store: Driver, key: bytes) -> None:
    lease = store.grant(2).ID
    put_at = store.put(key, b"v", lease=lease).header.revision
    with store.watch() as watch:
        watch.create(key, start_revision=put_at + 1, prev_kv=True)
        event = watch.events(1)[0]
    assert (event.type, event.prev_kv.value) == (kv_pb2.Event.DELETE, b"v")
    assert store.time_to_live(lease).TTL == -1
