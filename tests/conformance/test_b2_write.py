"""B2, writing: puts, deletes, compaction, the space quota, and what a reader may rely on."""

import threading

from brainctl.errors import (
    COMPACTED,
    FUTURE_REVISION,
    KEY_NOT_FOUND,
    LEASE_NOT_FOUND,
    LEASE_PROVIDED,
    NO_SPACE,
    REQUEST_TOO_LARGE,
    VALUE_PROVIDED,
)
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import Client, refused, shape
from tests.conformance.conftest import Own
from tests.contract.driver import after, delete, get, is_value, is_version, put

UNKNOWN = 0x7FFF_FFFF_0000_0001


def test_b2_06a_a_value_and_ignore_value_exclude_each_other(server: Client, key: bytes) -> None:
    assert refused(server.put, key, b"v", ignore_value=True) == VALUE_PROVIDED


def test_b2_06b_a_lease_and_ignore_lease_exclude_each_other(server: Client, key: bytes) -> None:
    assert refused(server.put, key, lease=1, ignore_lease=True) == LEASE_PROVIDED


def test_b2_06c_to_keep_a_value_or_a_lease_there_must_be_a_key(server: Client, key: bytes) -> None:
    assert refused(server.put, key, ignore_value=True) == refused(server.put, key, ignore_lease=True) == KEY_NOT_FOUND
    lease = server.grant().ID
    server.put(key, b"kept", lease=lease)
    server.put(key, ignore_value=True, ignore_lease=True)
    (kv,) = server.get(key).kvs
    assert (kv.value, kv.lease, kv.version) == (b"kept", lease, 2)


def test_b2_06d_a_put_on_an_unknown_lease_is_refused(server: Client, key: bytes) -> None:
    assert refused(server.put, key, lease=UNKNOWN) == LEASE_NOT_FOUND


def test_b2_06e_a_put_without_a_lease_detaches_the_key(server: Client, key: bytes) -> None:
    lease = server.grant().ID
    server.put(key, lease=lease)
    server.put(key)
    assert not server.time_to_live(lease, keys=True).keys
    server.revoke(lease)
    assert server.keys(key) == [key]


def test_b2_07a_a_delete_is_an_event_per_key_in_one_revision(server: Client, key: bytes) -> None:
    for name in (b"c", b"a", b"b"):
        server.put(key + name)
    at = server.delete(key, after(key)).header.revision
    events = server.history(at, key, after(key), 3)
    assert shape(events) == [("DELETE", key + name, b"") for name in (b"a", b"b", b"c")]
    assert {event.kv.mod_revision for event in events} == {at}


def test_b2_07b_to_delete_nothing_is_no_revision(server: Client, key: bytes) -> None:
    at = server.put(key + b"other").header.revision
    gone = server.delete(key)
    assert (gone.deleted, gone.header.revision, server.revision) == (0, at, at)


def test_b2_09a_a_future_revision_is_not_compacted(server: Client) -> None:
    assert refused(server.compact, server.revision + 1) == FUTURE_REVISION


def test_b2_09b_nor_is_one_that_was(server: Client, key: bytes) -> None:
    at = server.put(key).header.revision
    server.compact(at)
    assert {refused(server.compact, revision) for revision in (at, at - 1, 0, -1)} == {tuple(COMPACTED)}


def test_b2_09c_the_newest_version_of_each_live_key_is_kept(server: Client, key: bytes) -> None:
    for name, value in ((b"a", b"1"), (b"b", b"2"), (b"a", b"3")):
        server.put(key + name, value)
    at = server.delete(key + b"b").header.revision
    server.put(key + b"a", b"4")
    server.compact(at)
    assert [(kv.key, kv.value) for kv in server.get(key, after(key), revision=at).kvs] == [(key + b"a", b"3")]
    assert server.get(key + b"a").kvs[0].version == 3


def test_b2_09d_a_tombstone_at_the_compact_revision_is_kept(server: Client, key: bytes) -> None:
    server.put(key)
    at = server.delete(key).header.revision
    server.compact(at)
    assert shape(server.history(at, key, b"", 1)) == [("DELETE", key, b"")]


def test_b2_09e_a_compaction_is_in_effect_when_it_is_answered(server: Client, key: bytes) -> None:
    server.put(key)
    at = server.put(key).header.revision
    server.call("/etcdserverpb.KV/Compact", pb.CompactionRequest(revision=at))
    assert refused(server.get, key, revision=at - 1) == COMPACTED


def fill(full: Client) -> int:
    """Put until there is no room; how many were let in."""
    for number in range(1000):
        try:
            full.put(b"key%d" % number, bytes(500_000))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be this
            assert "database space exceeded" in str(error)  # noqa: PT017
            return number
    raise AssertionError("no quota")


def test_b2_10a_a_full_store_takes_no_growth_but_reads_and_deletes(own: Own) -> None:
    full = own("--quota-backend-bytes", "20000000")
    lease = full.grant(lease=7).ID
    number = fill(full)
    assert refused(full.put, b"a") == refused(full.grant) == NO_SPACE
    assert refused(full.txn, success=[put(b"a")]) == NO_SPACE
    assert full.get(b"key0").count == 1
    assert full.delete(b"key0").deleted == 1
    assert full.revoke(lease).header.revision == full.revision
    assert full.compact(full.revision)
    assert [pb.AlarmType.Name(alarm.alarm) for alarm in alarms(full)] == ["NOSPACE"]
    assert full.get(b"key", b"kez", count_only=True).count == number - 1


def alarms(server: Client) -> list[pb.AlarmMember]:
    return list(server.call("/etcdserverpb.Maintenance/Alarm", pb.AlarmRequest()).alarms)


def test_b2_10b_the_default_quota_is_two_gibibytes(server: Client) -> None:
    assert server.status().dbSizeQuota == 2 << 30


def test_b2_10c_a_request_above_one_and_a_half_mebibytes_is_refused(server: Client, key: bytes) -> None:
    most = 3 * (1 << 19)
    server.put(key, bytes(most - 2000))
    assert refused(server.put, key, bytes(most)) == REQUEST_TOO_LARGE
    assert len(server.get(key).kvs[0].value) == most - 2000


def test_b2_12a_guarded_updates_of_many_clients_lose_nothing(server: Client, key: bytes) -> None:
    server.put(key, b"0")

    def increment(times: int) -> None:
        for _ in range(times):
            while True:
                value = server.get(key).kvs[0].value
                if server.txn([is_value(key, value)], [put(key, b"%d" % (int(value) + 1))]).succeeded:
                    break

    threads = [threading.Thread(target=increment, args=(20,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (kv,) = server.get(key).kvs
    assert (kv.value, kv.version) == (b"80", 81)


def test_b2_12b_a_read_sees_what_was_acknowledged_before_it(server: Client, key: bytes) -> None:
    for number in range(50):
        at = server.put(key, b"%d" % number).header.revision
        assert [(kv.value, kv.mod_revision) for kv in server.get(key).kvs] == [(b"%d" % number, at)]


def test_b2_12c_events_are_ordered_unique_and_complete(server: Client, key: bytes) -> None:
    """Four writers at once; then the events replayed from the start are the events that were seen."""
    first = server.revision + 1

    def write(writer: int) -> None:
        for number in range(25):
            server.txn(success=[put(key + b"%d/a" % writer, b"%d" % number), put(key + b"%d/b" % writer)])

    with server.watch() as watch:
        watch.create(key, after(key))
        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        live = watch.events(200)
        for thread in threads:
            thread.join()
    revisions = [event.kv.mod_revision for event in live]
    assert revisions == [first + number // 2 for number in range(200)]
    assert server.history(first, key, after(key), 200) == live


def test_b2_12d_the_events_of_a_revision_come_together_in_their_order(server: Client, key: bytes) -> None:
    server.put(key + b"gone")
    with server.watch() as watch:
        watch.create(key, after(key))
        server.txn(success=[put(key + b"z"), delete(key + b"gone"), put(key + b"a")])
        response = watch.next()
    assert [event.kv.key.removeprefix(key) for event in response.events] == [b"z", b"gone", b"a"]


def test_b2_12e_a_watch_resumes_after_the_last_revision_seen(server: Client, key: bytes) -> None:
    first = server.put(key, b"0").header.revision
    server.put(key, b"1")
    with server.watch() as watch:
        watch.create(key, start_revision=first)
        seen = watch.events(2)
    for number in range(2, 6):
        server.put(key, b"%d" % number)
    rest = server.history(seen[-1].kv.mod_revision + 1, key, b"", 4)
    assert [event.kv.value for event in [*seen, *rest]] == [b"%d" % number for number in range(6)]


def test_b2_12f_a_progress_notification_is_a_bookmark(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        watch.create(key)
        server.put(key)
        server.put(key + b"elsewhere")
        watch.ask_progress()
        watch.events(1)
        bookmark = watch.next().header.revision
    assert bookmark == server.revision
    server.put(key, b"next")
    assert shape(server.history(bookmark + 1, key, b"", 1)) == [("PUT", key, b"next")]


def test_b2_12g_a_transaction_is_seen_whole_or_not_at_all(server: Client, key: bytes) -> None:
    pair = [put(key + b"a"), put(key + b"b")]
    done = threading.Event()

    def write() -> None:
        for _ in range(100):
            server.txn(success=pair)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        versions = {kv.version for kv in server.get(key, after(key)).kvs}
        assert len(versions) <= 1
    writer.join()
    assert server.txn([is_version(key + b"a", 100), is_version(key + b"b", 100)], [get(key)]).succeeded


def test_b2_12h_an_event_has_the_key_as_a_read_of_its_revision_has_it(server: Client, key: bytes) -> None:
    at = [server.put(key, b"%d" % number).header.revision for number in range(3)]
    events = server.history(at[0], key, b"", 3)
    reads = [server.get(key, revision=revision).kvs[0] for revision in at]
    assert [event.kv for event in events] == reads
    assert all(isinstance(kv, kv_pb2.KeyValue) for kv in reads)
