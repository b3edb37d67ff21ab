"""The watch protocol of one stream, response by response."""

from collections.abc import Iterator

import pytest

from brainctl.clock import ManualClock
from brainctl.errors import StoreDamaged
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.view import Revision
from brainctl.node.jobs import watch_backfill as catch_up
from brainctl.node.services.watch import WatchService
from tests.support.memory import MemoryBackend


class Stream:
    def __init__(self, service: WatchService) -> None:
        self.responses: list[pb.WatchResponse] = []
        self.session = service.open(lambda body: self.responses.append(pb.WatchResponse.FromString(body)))

    def create(self, key: bytes, **fields: object) -> pb.WatchResponse:
        request = pb.WatchCreateRequest(key=key, **fields)
        self.session.receive(pb.WatchRequest(create_request=request).SerializeToString())
        return self.take()

    def cancel(self, watch_id: int) -> None:
        request = pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id))
        self.session.receive(request.SerializeToString())

    def ask_progress(self) -> None:
        self.session.receive(pb.WatchRequest(progress_request=pb.WatchProgressRequest()).SerializeToString())

    def take(self) -> pb.WatchResponse:
        return self.responses.pop(0)


class World:
    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.clock = ManualClock()
        self.service = WatchService(self.backend, self.clock)
        self.stream = Stream(self.service)

    def put(self, key: bytes, value: bytes = b"v") -> None:
        self.backend.submit(Batch.put, pb.PutRequest(key=key, value=value), lambda _: None)

    def delete(self, key: bytes) -> None:
        self.backend.submit(Batch.delete_range, pb.DeleteRangeRequest(key=key), lambda _: None)

    def compact(self, revision: int) -> None:
        self.backend.submit(Batch.compact, pb.CompactionRequest(revision=revision), lambda _: None)

    def turn(self) -> None:
        timers, self.backend.timers = self.backend.timers, []
        for seconds, action in timers:
            if seconds == 0:
                action()
            else:
                self.backend.timers.append((seconds, action))

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        timers, self.backend.timers = self.backend.timers, []
        for _, action in timers:
            action()


@pytest.fixture
def world() -> World:
    return World()


def test_ids_are_given_or_chosen(world: World) -> None:
    assert [world.stream.create(b"a", watch_id=n).watch_id for n in (0, 1, 0, 0)] == [0, 1, 2, 3]


def test_a_used_id_is_refused(world: World) -> None:
    world.stream.create(b"a", watch_id=7)
    answer = world.stream.create(b"a", watch_id=7)
    assert (answer.watch_id, answer.created, answer.canceled) == (-1, True, True)
    assert answer.cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"


@pytest.mark.parametrize(("key", "end"), [(b"b", b"b"), (b"b", b"a")])
def test_an_empty_range_is_refused(world: World, key: bytes, end: bytes) -> None:
    answer = world.stream.create(key, range_end=end)
    assert (answer.watch_id, answer.created, answer.canceled) == (-1, True, True)
    assert answer.cancel_reason == "mvcc: watcher range is empty"


def test_a_negative_revision_is_refused(world: World) -> None:
    answer = world.stream.create(b"a", start_revision=-1)
    assert (answer.watch_id, answer.created, answer.canceled, answer.compact_revision) == (-1, True, True, 0)
    assert answer.cancel_reason == "etcdserver: mvcc: required revision has been compacted"


def test_events_now(world: World) -> None:
    assert world.stream.create(b"a", prev_kv=True).header.revision == 1
    world.put(b"a", b"1")
    world.put(b"b")
    world.put(b"a", b"2")
    world.delete(b"a")
    first, second, third = (world.stream.take().events[0] for _ in range(3))
    assert (first.type, first.kv.value, first.HasField("prev_kv")) == (0, b"1", False)
    assert (second.kv.version, second.prev_kv.value) == (2, b"1")
    assert (third.type, third.kv.mod_revision, third.kv.value, third.prev_kv.value) == (1, 5, b"", b"2")


def test_filters(world: World) -> None:
    world.stream.create(b"a", filters=[pb.WatchCreateRequest.NOPUT], watch_id=1)
    world.stream.create(b"a", filters=[pb.WatchCreateRequest.NODELETE], watch_id=2)
    world.put(b"a")
    world.delete(b"a")
    assert [(answer.watch_id, answer.events[0].type) for answer in world.stream.responses] == [(2, 0), (1, 1)]


def test_the_past_comes_before_the_present(world: World) -> None:
    for key in (b"a", b"b", b"a"):
        world.put(key)
    world.stream.create(b"a", start_revision=2)
    assert not world.stream.responses
    world.put(b"a")
    world.turn()
    world.put(b"a")
    seen = [[event.kv.mod_revision for event in answer.events] for answer in world.stream.responses]
    assert seen == [[2, 4, 5], [6]]


def test_the_future_is_waited_for(world: World) -> None:
    world.stream.create(b"a", start_revision=4)
    for _ in range(3):
        world.put(b"a")
        world.turn()
    assert [event.kv.mod_revision for answer in world.stream.responses for event in answer.events] == [4]


def test_a_compacted_start_is_cancelled_with_the_revision(world: World) -> None:
    for _ in range(4):
        world.put(b"a")
    world.compact(4)
    assert world.stream.create(b"a", start_revision=3).created
    world.stream.create(b"a", start_revision=4)
    world.turn()
    first, second = world.stream.responses
    assert (first.watch_id, first.canceled, first.compact_revision, first.header.revision) == (0, True, 4, 0)
    assert [event.kv.mod_revision for event in second.events] == [4, 5]


def test_a_reader_that_stops_costs_no_events(world: World) -> None:
    world.stream.create(b"a")
    world.stream.session.pause()
    for _ in range(5):
        world.put(b"a")
    assert not world.stream.responses
    assert len(world.stream.session.stream.parked) == 1
    world.stream.session.resume()
    world.turn()
    assert [event.kv.mod_revision for event in world.stream.take().events] == [2, 3, 4, 5, 6]


def test_a_reader_that_stops_too_long_is_cancelled(world: World) -> None:
    world.stream.create(b"a")
    world.stream.session.pause()
    for _ in range(5):
        world.put(b"a")
    world.compact(5)
    world.stream.session.resume()
    world.turn()
    assert world.stream.take().compact_revision == 5
    assert not world.stream.session.stream.watchers


def test_cancel(world: World) -> None:
    world.stream.create(b"a")
    world.stream.cancel(0)
    assert world.stream.take().canceled
    world.stream.cancel(0)
    world.put(b"a")
    assert not world.stream.responses


def test_closed_streams_get_nothing(world: World) -> None:
    world.put(b"a")
    for start in (0, 2, 9):
        world.stream.create(b"a", start_revision=start)
    world.stream.session.close()
    world.put(b"a")
    world.turn()
    assert not world.stream.responses
    assert not world.service.hub.behind


def test_a_stream_that_fails_does_not_keep_a_commit_from_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(body: bytes) -> None:
        raise OSError(len(body))

    broken = world.service.open(fail)
    request = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"a"))
    broken.receive(request.SerializeToString())
    assert not broken.stream.watchers
    assert "a watch stream failed" in caplog.text
    world.stream.create(b"a")
    world.put(b"a")
    assert world.stream.take().events


def test_progress_on_request(world: World) -> None:
    world.stream.ask_progress()
    assert not world.stream.responses, "nobody to speak for"
    world.stream.create(b"a")
    world.put(b"b")
    world.stream.ask_progress()
    answer = world.stream.take()
    assert (answer.watch_id, answer.header.revision, len(answer.events)) == (-1, 2, 0)


def test_progress_waits_for_the_slowest(world: World) -> None:
    world.put(b"a")
    world.stream.create(b"b")
    world.stream.create(b"a", start_revision=2)
    world.stream.ask_progress()
    world.stream.ask_progress()
    assert not world.stream.responses
    world.turn()
    events, progress = world.stream.responses
    assert events.events
    assert (progress.watch_id, progress.header.revision) == (-1, 2)


def test_progress_does_not_speak_for_a_future_watcher(world: World) -> None:
    world.stream.create(b"a", start_revision=3)
    world.put(b"b")
    world.stream.ask_progress()
    assert not world.stream.responses
    world.put(b"b")
    world.turn()
    assert world.stream.take().header.revision == 3


def test_progress_does_not_overtake_a_commit_that_is_being_sent(world: World) -> None:
    other = Stream(world.service)
    other.create(b"a")
    world.stream.create(b"a")
    world.stream.session.pause()
    world.stream.ask_progress()
    take = other.session.stream.send

    def resume_the_other(body: bytes) -> None:
        take(body)
        world.stream.session.resume()

    other.session.stream.send = resume_the_other
    world.put(b"a")
    event, progress = world.stream.responses
    assert event.events
    assert (progress.watch_id, progress.header.revision) == (-1, 2)


def test_progress_timer_leaves_out_busy_watchers(world: World) -> None:
    world.stream.create(b"a", progress_notify=True)
    world.stream.create(b"b", progress_notify=True)
    world.stream.create(b"c")
    world.put(b"a")
    world.stream.take()
    world.pass_time(601)
    assert [answer.watch_id for answer in world.stream.responses] == [1]
    world.pass_time(601)
    assert [answer.watch_id for answer in world.stream.responses] == [1, 0, 1]


def test_fragments_join_to_the_revision(world: World) -> None:
    world.service.hub._fragment_size = 300
    world.stream.create(b"\0", range_end=b"\0", fragment=True, watch_id=1)
    world.stream.create(b"\0", range_end=b"\0", watch_id=2)
    puts = [pb.RequestOp(request_put=pb.PutRequest(key=b"%d" % n, value=b"v" * 50)) for n in range(9)]
    world.backend.submit(Batch.txn, pb.TxnRequest(success=puts), lambda _: None)
    parts = [answer for answer in world.stream.responses if answer.watch_id == 1]
    (whole,) = (answer for answer in world.stream.responses if answer.watch_id == 2)
    assert len(parts) > 2
    assert [part.fragment for part in parts] == [True] * (len(parts) - 1) + [False]
    assert all(part.ByteSize() < 300 for part in parts)
    assert [event for part in parts for event in part.events] == list(whole.events)


def test_a_history_that_cannot_be_read_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(first: int, last: int) -> Iterator[Revision]:
        raise StoreDamaged(f"no {first} to {last}")

    for _ in range(3):
        world.put(b"a")
    monkeypatch.setattr(world.backend.view, "history", damaged)
    world.stream.create(b"a", start_revision=2)
    world.stream.create(b"a")
    world.turn()
    answer = world.stream.take()
    assert (answer.watch_id, answer.canceled, answer.cancel_reason) == (0, True, "no 2 to 4")
    world.put(b"a")
    assert [answer.watch_id for answer in world.stream.responses] == [1]


def test_the_history_itself_says_what_was_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that changes often would make looking up each version before it take quadratic time."""
    asked: list[int] = []
    get = world.backend.view.get

    def counted(key: bytes, revision: int = 0) -> KeyVersion | None:
        asked.append(revision)
        return get(key, revision)

    for number in range(50):
        if number % 7 == 3:
            world.delete(b"a")
        else:
            world.put(b"a", b"%d" % number)
    monkeypatch.setattr(catch_up, "READ_CHANGES", 10)
    monkeypatch.setattr(world.backend.view, "get", counted)
    world.stream.create(b"a", start_revision=3, prev_kv=True)
    for _ in range(10):
        world.turn()
    events = [event for answer in world.stream.responses for event in answer.events]
    assert len(events) == world.backend.revision - 2
    assert all(event.HasField("prev_kv") == (event.kv.version != 1) for event in events)
    assert all(event.prev_kv.mod_revision == event.kv.mod_revision - 1 for event in events if event.kv.version != 1)
    assert asked == [2]


def test_one_group_commit_is_one_response(world: World) -> None:
    world.stream.create(b"a")
    batch = Batch(PendingWrites(world.backend.view), world.backend.record, world.backend.header)
    for _ in range(3):
        batch.put(pb.PutRequest(key=b"a"))
    world.backend.view.publish(batch.commit)
    for observer in world.backend.observers:
        observer(batch.commit)
    assert [event.kv.mod_revision for event in world.stream.take().events] == [2, 3, 4]


def test_a_request_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(Exception, match="unmarshal"):
        world.stream.session.receive(b"\xff\xff")
