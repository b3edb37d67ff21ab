"""KV.Compact: what goes, what stays, and what is refused."""

from brainctl.errors import COMPACTED, FUTURE_REVISION
from brainctl.etcdpb import rpc_pb2 as pb
from tests.contract.driver import Driver


def test_a_future_revision_is_refused(store: Driver) -> None:
    request = pb.CompactionRequest(revision=store.revision + 1)
    assert store.status_of(store.store.compact(request)) == FUTURE_REVISION


def test_a_revision_is_compacted_once(store: Driver, key: bytes) -> None:
    at = store.put(key).header.revision
    assert store.compact(at).header.revision == at
    for revision in (at, at - 1, 0, -1):
        request = pb.CompactionRequest(revision=revision)
        assert store.status_of(store.store.compact(request)) == COMPACTED


def test_the_newest_version_of_every_live_key_stays(store: Driver, key: bytes) -> None:
    created = store.put(key + b"a", b"1").header.revision
    store.put(key + b"b", b"2")
    store.put(key + b"a", b"3")
    store.put(key + b"c", b"4")
    gone = store.delete(key + b"b").header.revision
    store.put(key + b"a", b"5")
    store.compact(gone)
    assert [kv.value for kv in store.get(key, key + b"z", revision=gone).kvs] == [b"3", b"4"]
    kv = store.get(key + b"a").kvs[0]
    assert (kv.value, kv.version, kv.create_revision) == (b"5", 3, created)


def test_compacting_does_not_advance_the_revision(store: Driver, key: bytes) -> None:
    at = store.put(key).header.revision
    store.compact(at, physical=False)
    assert store.revision == at
    assert store.put(key).header.revision == at + 1


def test_a_comparison_and_a_put_need_no_history(store: Driver, key: bytes) -> None:
    store.compact(store.put(key, b"1").header.revision)
    assert store.put(key, b"2", prev_kv=True).prev_kv.value == b"1"
    assert store.delete(key, prev_kv=True).prev_kvs[0].version == 2
