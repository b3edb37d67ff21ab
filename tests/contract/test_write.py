"""KV.Put and KV.DeleteRange: versions, revisions, and what is refused."""

from brainctl.errors import EMPTY_KEY, KEY_NOT_FOUND, LEASE_NOT_FOUND, LEASE_PROVIDED, REQUEST_TOO_LARGE, VALUE_PROVIDED
from brainctl.etcdpb import rpc_pb2 as pb
from tests.contract.driver import Driver, after


def test_a_put_advances_the_revision_by_one(store: Driver, key: bytes) -> None:
    before = store.revision
    assert [store.put(key).header.revision for _ in range(3)] == [before + 1, before + 2, before + 3]


def test_versions_and_revisions_of_a_key(store: Driver, key: bytes) -> None:
    created = store.put(key, b"1").header.revision
    modified = store.put(key, b"2").header.revision
    kv = store.get(key).kvs[0]
    assert (kv.value, kv.create_revision, kv.mod_revision, kv.version) == (b"2", created, modified, 2)


def test_a_deleted_key_starts_over(store: Driver, key: bytes) -> None:
    store.put(key)
    store.put(key)
    store.delete(key)
    again = store.put(key).header.revision
    kv = store.get(key).kvs[0]
    assert (kv.create_revision, kv.mod_revision, kv.version) == (again, again, 1)


def test_an_empty_value_is_a_value(store: Driver, key: bytes) -> None:
    store.put(key, b"")
    assert store.get(key).count == 1


def test_any_bytes_are_keys_and_values(store: Driver, key: bytes) -> None:
    every = bytes(range(256))
    store.put(key + every, every)
    assert store.get(key + every).kvs[0].value == every


def test_a_put_returns_the_previous_version_when_asked(store: Driver, key: bytes) -> None:
    assert not store.put(key, b"1", prev_kv=True).HasField("prev_kv")
    assert not store.put(key, b"2").HasField("prev_kv")
    previous = store.put(key, b"3", prev_kv=True).prev_kv
    assert (previous.key, previous.value, previous.version) == (key, b"2", 2)


def test_ignore_value_keeps_the_value(store: Driver, key: bytes) -> None:
    lease = store.grant(60).ID
    store.put(key, b"kept")
    store.put(key, ignore_value=True, lease=lease)
    kv = store.get(key).kvs[0]
    assert (kv.value, kv.version, kv.lease) == (b"kept", 2, lease)


def test_ignore_lease_keeps_the_lease(store: Driver, key: bytes) -> None:
    lease = store.grant(60).ID
    store.put(key, b"1", lease=lease)
    store.put(key, b"2", ignore_lease=True)
    kv = store.get(key).kvs[0]
    assert (kv.value, kv.lease) == (b"2", lease)


def test_refused_puts(store: Driver, key: bytes) -> None:
    revision = store.revision
    for request, status in (
        (pb.PutRequest(key=b"", value=b"v"), EMPTY_KEY),
        (pb.PutRequest(key=key, value=b"v", ignore_value=True), VALUE_PROVIDED),
        (pb.PutRequest(key=key, lease=1, ignore_lease=True), LEASE_PROVIDED),
        (pb.PutRequest(key=key, ignore_value=True), KEY_NOT_FOUND),
        (pb.PutRequest(key=key, ignore_lease=True), KEY_NOT_FOUND),
        (pb.PutRequest(key=key, lease=0x7FFF_FFFF_0000_0001), LEASE_NOT_FOUND),
    ):
        assert store.status_of(store.store.put(request)) == status
    assert store.revision == revision


def test_a_request_above_one_and_a_half_mebibytes_is_refused(store: Driver, key: bytes) -> None:
    store.put(key, bytes(1_500_000))
    request = pb.PutRequest(key=key, value=bytes(1_600_000))
    assert store.status_of(store.store.put(request)) == REQUEST_TOO_LARGE
    assert len(store.get(key).kvs[0].value) == 1_500_000


def test_a_delete_counts_and_returns_what_it_removed(store: Driver, key: bytes) -> None:
    for name in (b"a", b"b", b"c"):
        store.put(key + name, name)
    assert list(store.delete(key + b"a").prev_kvs) == []
    gone = store.delete(key, after(key), prev_kv=True)
    assert (gone.deleted, [kv.value for kv in gone.prev_kvs]) == (2, [b"b", b"c"])
    assert store.get(key, after(key)).count == 0


def test_a_delete_of_many_keys_is_one_revision(store: Driver, key: bytes) -> None:
    revision = [store.put(key + name).header.revision for name in (b"a", b"b")][-1]
    assert store.delete(key, after(key)).header.revision == revision + 1
    assert store.revision == revision + 1


def test_deleting_nothing_does_not_advance_the_revision(store: Driver, key: bytes) -> None:
    revision = store.put(key + b"x").header.revision
    gone = store.delete(key + b"y")
    assert (gone.deleted, gone.header.revision, store.revision) == (0, revision, revision)


def test_a_delete_of_an_empty_key_is_refused(store: Driver) -> None:
    assert store.status_of(store.store.delete_range(pb.DeleteRangeRequest())) == EMPTY_KEY


def test_a_delete_from_a_key_on(store: Driver, key: bytes) -> None:
    for name in (b"\xff\xfe" + key, b"\xff\xff" + key):
        store.put(name)
    assert store.delete(b"\xff\xfe" + key, b"\0").deleted >= 2
    assert store.get(b"\xff\xfe", b"\0").count == 0
