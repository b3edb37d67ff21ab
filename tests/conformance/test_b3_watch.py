"""B3, watching."""

from typing import NamedTuple

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import Client, Watch, shape
from tests.conformance.conftest import Own
from tests.contract.driver import after, put
from tests.support.rbac import READ, add_user, enable, grant, token_of

NO_PUT, NO_DELETE = pb.WatchCreateRequest.NOPUT, pb.WatchCreateRequest.NODELETE
DENIED = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


def assert_refused(response: pb.WatchResponse, reason: str) -> None:
    assert (response.created, response.canceled, response.watch_id) == (True, True, -1)
    assert response.cancel_reason == reason
    assert not response.events


def test_b3_01a_one_stream_carries_many_watchers(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        ids = [watch.create(key + name).watch_id for name in (b"a", b"b", b"c")]
        assert len(set(ids)) == 3
        for at in (1, 0, 2):
            server.put(key + b"abc"[at : at + 1])
            assert watch.next().watch_id == ids[at]
        watch.cancel(ids[1])
        gone = watch.next()
        assert (gone.canceled, gone.watch_id, gone.compact_revision) == (True, ids[1], 0)
        server.txn(success=[put(key + b"b"), put(key + b"c")])
        assert watch.next().watch_id == ids[2]


def test_b3_01b_a_watcher_is_created_before_its_events(server: Client, key: bytes) -> None:
    at = server.put(key).header.revision
    with server.watch() as watch:
        created = watch.create(key, start_revision=at)
        assert (created.created, created.canceled, list(created.events)) == (True, False, [])
        assert [event.kv.mod_revision for event in watch.events(1)] == [at]


def test_b3_01c_an_id_is_given_or_chosen(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        assert watch.create(key, watch_id=7).watch_id == 7
        given = [watch.create(key).watch_id for _ in range(3)]
        assert len({7, *given}) == 4


def test_b3_01d_an_id_in_use_is_refused(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        watch.create(key, watch_id=7)
        assert_refused(watch.create(key, watch_id=7), "mvcc: duplicate watch ID provided on the WatchStream")
        server.put(key)
        assert watch.next().watch_id == 7


def test_b3_01e_an_empty_key_is_the_first_key(server: Client) -> None:
    with server.watch() as watch:
        assert watch.create(b"").created
        server.put(b"\0", b"v")
        assert shape(watch.events(1)) == [("PUT", b"\0", b"v")]
    with server.watch() as watch:
        watch.create(b"", b"\0")
        server.put(b"\xff", b"v")
        assert shape(watch.events(1)) == [("PUT", b"\xff", b"v")]


def test_b3_01f_a_range_that_holds_nothing_is_refused(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        for end in (key + b"a", key + b"b"):
            assert_refused(watch.create(key + b"b", end), "mvcc: watcher range is empty")


def test_b3_02a_without_a_start_it_is_from_now_on(server: Client, key: bytes) -> None:
    server.put(key)
    with server.watch() as watch:
        assert watch.create(key).header.revision == server.revision
        at = server.put(key).header.revision
        assert [event.kv.mod_revision for event in watch.events(1)] == [at]


def test_b3_02b_a_negative_start_is_refused_as_compacted(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        assert_refused(watch.create(key, start_revision=-1), COMPACTED)


def test_b3_02c_a_start_in_the_future_is_waited_for(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        assert watch.create(key, start_revision=server.revision + 3).created
        at = [server.put(key).header.revision for _ in range(4)]
        assert [event.kv.mod_revision for event in watch.events(2)] == at[2:]


def test_b3_02d_a_compacted_start_is_cancelled_with_the_revision(server: Client, key: bytes) -> None:
    old = server.put(key).header.revision
    at = server.put(key).header.revision
    server.compact(at)
    with server.watch() as watch:
        created = watch.create(key, start_revision=old)
        assert (created.created, created.canceled) == (True, False)
        gone = watch.next()
        assert (gone.canceled, gone.watch_id, gone.compact_revision) == (True, created.watch_id, at)
        watch.create(key, start_revision=at)
        assert [event.kv.mod_revision for event in watch.events(1)] == [at]


class Backlog(NamedTuple):
    """A watcher that has not read what was written: 30 MB in revisions of 20 KB."""

    watch: Watch
    first: int
    last: int

    @classmethod
    def of(cls, server: Client, watch: Watch, key: bytes) -> "Backlog":
        assert watch.create(key, after(key), watch_id=5).created
        at = [server.put(key + b"%d" % (number % 5), bytes(20_000)).header.revision for number in range(1500)]
        return cls(watch, at[0], at[-1])


def test_b3_03a_a_slow_watcher_misses_nothing(server: Client, key: bytes) -> None:
    with server.watch(window=True) as watch:
        backlog = Backlog.of(server, watch, key)
        server.put(key + b"last")
        seen = [event.kv.mod_revision for event in watch.events(1501)]
    assert seen == list(range(backlog.first, backlog.last + 2))


def test_b3_03b_a_slow_watcher_that_is_overtaken_is_told_where(server: Client, key: bytes) -> None:
    with server.watch(window=True) as watch:
        backlog = Backlog.of(server, watch, key)
        server.compact(backlog.last)
        seen: list[int] = []
        while not (response := watch.next()).canceled:
            seen += [event.kv.mod_revision for event in response.events]
    assert (response.watch_id, response.compact_revision) == (5, backlog.last)
    assert seen == list(range(backlog.first, backlog.first + len(seen)))
    assert len(seen) < 1500


def test_b3_04a_filters_hide_puts_or_deletes(server: Client, key: bytes) -> None:
    at = server.put(key, b"1").header.revision
    server.delete(key)
    server.put(key, b"2")
    for hidden, expected in (
        ([NO_PUT], [("DELETE", key, b"")]),
        ([NO_DELETE], [("PUT", key, b"1"), ("PUT", key, b"2")]),
    ):
        with server.watch() as watch:
            watch.create(key, start_revision=at, filters=hidden)
            assert shape(watch.events(len(expected))) == expected
    with server.watch() as watch:
        watch.create(key, start_revision=at, filters=[NO_PUT, NO_DELETE], watch_id=1)
        watch.create(key, start_revision=at + 2, watch_id=2)
        assert watch.next().watch_id == 2


def test_b3_04b_the_previous_version_comes_when_asked(server: Client, key: bytes) -> None:
    at = server.put(key, b"1").header.revision
    server.put(key, b"2")
    server.delete(key)
    with server.watch() as watch:
        watch.create(key, start_revision=at, prev_kv=True)
        events = watch.events(3)
        assert [event.prev_kv.value for event in events] == [b"", b"1", b"2"]
        assert not events[0].HasField("prev_kv")
        assert events[2].prev_kv.mod_revision == at + 1
        watch.create(key, start_revision=at)
        assert not any(event.HasField("prev_kv") for event in watch.events(3))


def test_b3_04c_a_compacted_previous_version_is_left_out(server: Client, key: bytes) -> None:
    server.put(key, b"gone")
    at = server.put(key, b"there").header.revision
    server.put(key, b"later")
    server.compact(at)
    with server.watch() as watch:
        watch.create(key, start_revision=at, prev_kv=True)
        events = watch.events(2)
    assert [event.HasField("prev_kv") for event in events] == [False, True]


def test_b3_04d_a_create_is_an_event_whose_revisions_agree(server: Client, key: bytes) -> None:
    at = server.put(key).header.revision
    server.put(key)
    server.delete(key)
    server.put(key)
    created = [e.kv.create_revision == e.kv.mod_revision for e in server.history(at, key, b"", 4)]
    assert created == [True, False, False, True]


def large(server: Client, key: bytes) -> int:
    """A revision whose events, with what was before, take 3 MB; the revision."""
    for number in range(5):
        server.put(key + b"%d" % number, bytes(600_000))
    return server.delete(key, after(key)).header.revision


def test_b3_05a_a_large_revision_comes_in_fragments_when_asked(server: Client, key: bytes) -> None:
    at = large(server, key)
    with server.watch() as watch:
        watch.create(key, after(key), start_revision=at, prev_kv=True, fragment=True)
        parts = [watch.next()]
        while parts[-1].fragment:
            parts.append(watch.next())
    assert len(parts) > 1
    assert {part.header.revision for part in parts} == {at}
    assert [e.kv.key for part in parts for e in part.events] == [key + b"%d" % number for number in range(5)]


def test_b3_05b_and_in_one_piece_otherwise(server: Client, key: bytes) -> None:
    at = large(server, key)
    with server.watch() as watch:
        watch.create(key, after(key), start_revision=at, prev_kv=True)
        response = watch.next()
    assert (len(response.events), response.fragment) == (5, False)
    assert response.ByteSize() > 3_000_000


def test_b3_06a_progress_comes_by_itself_when_asked(own: Own) -> None:
    quick = own("--watch-progress-notify-interval", "200ms")
    quick.put(b"elsewhere")
    with quick.watch() as watch:
        watch.create(b"a", watch_id=3)
        watch.create(b"a", watch_id=4, progress_notify=True)
        first, second = watch.next(), watch.next()
        assert [(p.watch_id, list(p.events), p.header.revision) for p in (first, second)] == [(4, [], 2)] * 2
        at = quick.put(b"elsewhere").header.revision
        while (progress := watch.next()).header.revision < at:
            assert progress.watch_id == 4
        assert (progress.watch_id, progress.header.revision) == (4, at)


def test_b3_06b_progress_on_request_speaks_for_the_stream(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        watch.create(key)
        watch.create(key + b"x")
        at = server.put(key + b"elsewhere").header.revision
        watch.ask_progress()
        progress = watch.next()
    assert (progress.watch_id, list(progress.events), progress.header.revision) == (-1, [], at)


def history_and_progress(server: Client, key: bytes, **fields: int) -> list[pb.WatchResponse]:
    """Responses to a watch of the past and requests for progress around it, until all events are there."""
    with server.watch() as watch:
        watch.send(create_request=pb.WatchCreateRequest(key=key, range_end=after(key), **fields))
        for _ in range(10):
            watch.ask_progress()
        responses = []
        while sum(len(response.events) for response in responses) < 500:
            responses.append(watch.next())
            watch.ask_progress()
    return responses


def test_b3_06c_progress_waits_until_all_watchers_are_up_to_date(server: Client, key: bytes) -> None:
    """etcd#15220: a notification that overtakes the history of a watcher lets a cache skip events."""
    first = server.put(key).header.revision
    for number in range(499):
        server.put(key + b"%d" % (number % 7), bytes(500))
    last = server.revision
    responses = history_and_progress(server, key, start_revision=first)
    for at, response in enumerate(responses):
        if not response.events and not response.created:
            behind = [e.kv.mod_revision for later in responses[at + 1 :] for e in later.events]
            assert not behind or response.header.revision < min(behind), "an event at or below the revision follows"
    assert max(e.kv.mod_revision for response in responses for e in response.events) == last


def test_b3_06d_progress_never_overtakes_events_that_are_written_meanwhile(server: Client, key: bytes) -> None:
    """etcd#17507: the revision of a notification and the events of another watcher's stream came out of order."""
    with server.watch() as watch:
        watch.create(key, after(key))
        promised, seen = 0, 0
        for number in range(200):
            server.put(key + b"%d" % number)
            watch.ask_progress()
        while seen < 200:
            response = watch.next()
            for event in response.events:
                assert event.kv.mod_revision > promised
                seen += 1
            if response.watch_id == -1:
                assert response.header.revision >= promised
                promised = response.header.revision


def test_b3_06e_progress_does_not_speak_for_a_watcher_of_the_future(server: Client, key: bytes) -> None:
    with server.watch() as watch:
        start = server.revision + 2
        watch.create(key, start_revision=start)
        watch.ask_progress()
        server.put(key + b"x")
        server.put(key)
        assert [event.kv.mod_revision for event in watch.events(1)] == [start]
        watch.ask_progress()
        assert watch.next().header.revision == start


def test_b3_07a_what_one_may_not_read_one_may_not_watch(own: Own) -> None:
    guarded = own()
    root = enable(guarded)
    grant(guarded, "reads-a", READ, b"a", token=root)
    add_user(guarded, "reader", "readerpw", "reads-a", token=root)
    token = token_of(guarded, "reader", "readerpw")
    with guarded.watch(token=token) as watch:
        for watched in ((b"b", b""), (b"a", b"c"), (b"a", b"\0"), (b"", b"\0")):  # the third: GHSA-xg4h-6gfc-h4m8
            assert_refused(watch.create(*watched), DENIED)
        assert watch.create(b"a").created
        guarded.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"a"), root)
        assert shape(watch.events(1)) == [("PUT", b"a", b"")]


def test_b3_08_a_stream_that_wants_a_leader_has_one(server: Client, key: bytes) -> None:
    with server.watch(metadata=[("hasleader", "true")]) as watch:
        assert watch.create(key).created
        server.put(key)
        assert watch.events(1)[0].type == kv_pb2.Event.PUT
