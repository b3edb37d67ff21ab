"""Watch.Watch: creation, history, order, filters, progress, compaction, cancellation."""

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.contract.driver import Driver, after, delete, put, txn

PUT, DELETE = kv_pb2.Event.PUT, kv_pb2.Event.DELETE
NO_PUT, NO_DELETE = pb.WatchCreateRequest.NOPUT, pb.WatchCreateRequest.NODELETE
Seen = list[tuple[int, bytes, int]]


def seen(events: list[kv_pb2.Event], prefix: bytes) -> Seen:
    return [(event.type, event.kv.key.removeprefix(prefix), event.kv.mod_revision) for event in events]


def test_creation_is_answered_before_any_event(store: Driver, key: bytes) -> None:
    revision = store.put(key).header.revision
    with store.watch() as watch:
        created = watch.create(key, start_revision=revision)
        assert (created.created, created.canceled, list(created.events)) == (True, False, [])
        assert seen(watch.events(1), key) == [(PUT, b"", revision)]


def test_from_now_means_after_the_creation(store: Driver, key: bytes) -> None:
    store.put(key)
    with store.watch() as watch:
        created = watch.create(key)
        assert created.header.revision == store.revision
        revision = store.put(key).header.revision
        assert seen(watch.events(1), key) == [(PUT, b"", revision)]


def test_the_past_is_replayed_and_the_present_follows(store: Driver, key: bytes) -> None:
    first = store.put(key + b"a", b"1").header.revision
    store.delete(key + b"a")
    with store.watch() as watch:
        watch.create(key, after(key), start_revision=first)
        store.put(key + b"b", b"2")
        events = watch.events(3)
    assert seen(events, key) == [(PUT, b"a", first), (DELETE, b"a", first + 1), (PUT, b"b", first + 2)]
    assert events[0].kv.create_revision == events[0].kv.mod_revision
    assert (events[1].kv.value, events[1].kv.version, events[1].kv.create_revision) == (b"", 0, 0)


def test_only_the_watched_keys(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        watch.create(key + b"b", key + b"d")
        for name in (b"a", b"b", b"c", b"d", b"c\0"):
            store.put(key + name)
        assert [event.kv.key for event in watch.events(3)] == [key + b"b", key + b"c", key + b"c\0"]


def test_the_events_of_a_transaction_come_together_in_their_order(store: Driver, key: bytes) -> None:
    store.put(key + b"gone")
    with store.watch() as watch:
        watch.create(key, after(key))
        revision = store.txn(success=[put(key + b"z"), delete(key + b"gone"), put(key + b"a")]).header.revision
        response = watch.next()
    assert seen(list(response.events), key) == [
        (PUT, b"z", revision),
        (DELETE, b"gone", revision),
        (PUT, b"a", revision),
    ]
    assert response.header.revision == revision


def test_the_start_may_lie_in_the_future(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        assert watch.create(key, start_revision=store.revision + 3).created
        revision = [store.put(key).header.revision for _ in range(3)][-1]
        assert seen(watch.events(1), key) == [(PUT, b"", revision)]


def test_a_compacted_start_is_cancelled_with_the_compact_revision(store: Driver, key: bytes) -> None:
    old = store.put(key).header.revision
    at = store.put(key).header.revision
    store.compact(at)
    with store.watch() as watch:
        created = watch.create(key, start_revision=old)
        assert created.created
        gone = watch.next()
        assert (gone.canceled, gone.watch_id, gone.compact_revision) == (True, created.watch_id, at)
        watch.create(key, start_revision=at + 1)
        revision = store.put(key).header.revision
        assert seen(watch.events(1), key) == [(PUT, b"", revision)]


def test_the_compact_revision_itself_can_be_watched(store: Driver, key: bytes) -> None:
    store.put(key)
    at = store.put(key).header.revision
    store.compact(at)
    with store.watch() as watch:
        watch.create(key, start_revision=at)
        assert seen(watch.events(1), key) == [(PUT, b"", at)]


def test_a_tombstone_at_the_compact_revision_is_delivered(store: Driver, key: bytes) -> None:
    store.put(key)
    at = store.delete(key).header.revision
    store.compact(at)
    with store.watch() as watch:
        watch.create(key, start_revision=at)
        assert seen(watch.events(1), key) == [(DELETE, b"", at)]


def test_previous_versions_come_when_asked(store: Driver, key: bytes) -> None:
    first = store.put(key, b"1").header.revision
    store.put(key, b"2")
    store.delete(key)
    with store.watch() as watch:
        watch.create(key, start_revision=first, prev_kv=True)
        events = watch.events(3)
        assert [event.prev_kv.value for event in events] == [b"", b"1", b"2"]
        assert not events[0].HasField("prev_kv")
        watch.create(key, start_revision=first)
        assert not any(event.HasField("prev_kv") for event in watch.events(3))


def test_the_previous_version_is_that_before_the_transaction(store: Driver, key: bytes) -> None:
    both = [txn(success=[put(key, b"2")]), txn(success=[delete(key)])]
    with store.watch() as watch:
        watch.create(key, prev_kv=True)
        first = store.put(key, b"1").header.revision
        store.txn(success=both)
        store.txn(success=both)
        live = watch.events(5)
    with store.watch() as watch:
        watch.create(key, start_revision=first, prev_kv=True)
        assert watch.events(5) == live
    assert [event.prev_kv.value for event in live] == [b"", b"1", b"1", b"", b""]
    assert [event.HasField("prev_kv") for event in live] == [False, True, True, False, False]


def test_filters_hide_a_kind_of_event(store: Driver, key: bytes) -> None:
    first = store.put(key).header.revision
    store.delete(key)
    with store.watch() as watch:
        watch.create(key, start_revision=first, filters=[NO_PUT])
        assert seen(watch.events(1), key) == [(DELETE, b"", first + 1)]
    with store.watch() as watch:
        watch.create(key, start_revision=first, filters=[NO_DELETE])
        store.put(key)
        assert seen(watch.events(2), key) == [(PUT, b"", first), (PUT, b"", first + 2)]


def test_one_stream_carries_many_watchers(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        ids = [watch.create(key + name).watch_id for name in (b"a", b"b")]
        assert len(set(ids)) == 2
        store.put(key + b"b")
        assert watch.next().watch_id == ids[1]
        store.put(key + b"a")
        assert watch.next().watch_id == ids[0]


def test_a_cancelled_watcher_is_silent_and_the_others_are_not(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        kept, gone = (watch.create(key).watch_id for _ in range(2))
        watch.cancel(gone)
        answer = watch.next()
        assert (answer.canceled, answer.watch_id, answer.compact_revision) == (True, gone, 0)
        for _ in range(2):
            store.put(key)
            assert watch.next().watch_id == kept


def test_an_id_may_be_chosen_but_not_twice(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        assert watch.create(key, watch_id=7).watch_id == 7
        refused = watch.create(key, watch_id=7)
        assert (refused.created, refused.canceled, refused.watch_id) == (True, True, -1)
        assert refused.cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"


def test_an_empty_range_is_refused(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        refused = watch.create(key + b"b", key + b"a")
        assert (refused.created, refused.canceled, refused.watch_id) == (True, True, -1)
        assert refused.cancel_reason == "mvcc: watcher range is empty"


def test_a_negative_start_is_refused_as_compacted(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        refused = watch.create(key, start_revision=-1)
        assert (refused.created, refused.canceled) == (True, True)
        assert refused.cancel_reason == "etcdserver: mvcc: required revision has been compacted"


def test_progress_is_answered_for_the_whole_stream(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        watch.create(key)
        revision = store.put(key + b"elsewhere").header.revision
        watch.ask_progress()
        progress = watch.next()
        assert (progress.watch_id, list(progress.events)) == (-1, [])
        assert progress.header.revision == revision


def test_progress_follows_the_events_up_to_its_revision(store: Driver, key: bytes) -> None:
    with store.watch() as watch:
        watch.create(key)
        revision = store.put(key).header.revision
        watch.ask_progress()
        first, second = watch.next(), watch.next()
    assert seen(list(first.events), key) == [(PUT, b"", revision)]
    assert (second.watch_id, second.header.revision) == (-1, revision)


def test_a_revision_is_split_only_when_asked(store: Driver, key: bytes) -> None:
    value = bytes(700_000)
    first = store.put(key + b"0", value).header.revision
    for n in range(1, 5):
        store.put(key + b"%d" % n, value)
    store.delete(key, after(key))
    with store.watch() as watch:
        watch.create(key, after(key), start_revision=first + 5, prev_kv=True, fragment=True)
        parts = [watch.next()]
        while parts[-1].fragment:
            parts.append(watch.next())
    assert len(parts) > 1
    events = [event for part in parts for event in part.events]
    assert [event.kv.key for event in events] == [key + b"%d" % n for n in range(5)]
    assert [len(event.prev_kv.value) for event in events] == [700_000] * 5
