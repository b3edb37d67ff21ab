"""Random commits and watchers: each watcher gets exactly the events of its range, in order, each revision unsplit.

The receiver checks each response when it is sent; the end of a run lets everything drain and checks that nothing is
missing. The controls break the hub in one place each, and the same machine must notice.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from brainctl.clock import ManualClock
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import watch_hub, watch_stream
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.steps import Steps
from brainctl.mvcc.watch_event import Event, EventBatch
from brainctl.node.jobs import watch_backfill as catch_up
from brainctl.node.services.watch import WatchService, WatchSession
from tests.support.memory import MemoryBackend

KEYS = [b"a", b"a/1", b"a/2", b"b", b"b/1", b"c", b"\xff"]
RANGES = [
    (b"a", b""),
    (b"a/1", b""),
    (b"a", b"b"),
    (b"a/", b"a0"),
    (b"b", b"\0"),
    (b"\0", b"\0"),
    (b"", b""),
    (b"a", b"c"),
    (b"\xff", b""),
]


@dataclass
class Client:
    """What a client of one watcher has seen."""

    request: pb.WatchCreateRequest
    next: int
    """Every event below this revision was received."""
    events: list[kv_pb2.Event] = field(default_factory=list)
    parts: list[kv_pb2.Event] = field(default_factory=list)
    """Of fragments that are not complete."""
    canceled: int = 0
    """The compact revision with which it was cancelled."""

    def wants(self, change: KeyVersion) -> bool:
        start = self.request.key or b"\0"
        end = self.request.range_end
        inside = start == change.key if not end else start <= change.key and (end == b"\0" or change.key < end)
        skipped = pb.WatchCreateRequest.NOPUT if change.version else pb.WatchCreateRequest.NODELETE
        return inside and skipped not in self.request.filters


class Receiver:
    """One stream, as a client with an opinion on each response."""

    def __init__(self, service: WatchService, backend: MemoryBackend) -> None:
        self.backend = backend
        self.service = service
        self.requested: list[pb.WatchCreateRequest] = []
        self.clients: dict[int, Client] = {}
        self.gone: list[Client] = []
        self.paused = False
        self.pause_after = 1 << 60
        self.session: WatchSession = service.open(self.send)

    def request(self, request: pb.WatchRequest) -> None:
        self.session.receive(request.SerializeToString())

    def send(self, body: bytes) -> None:
        response = pb.WatchResponse.FromString(body)
        self.pause_after -= len(body)
        if response.created:
            self.on_created(response)
        elif response.canceled:
            self.on_canceled(response)
        elif response.events:
            self.on_events(self.clients[response.watch_id], response)
        else:
            self.on_progress(response)
        if self.pause_after <= 0:
            self.pause()

    def pause(self) -> None:
        self.paused = True
        self.session.pause()

    def resume(self) -> None:
        self.paused = False
        self.pause_after = 1 << 60
        self.session.resume()

    def on_created(self, response: pb.WatchResponse) -> None:
        request = self.requested.pop()
        if response.canceled:
            assert response.watch_id == -1
            assert request.watch_id in self.clients
            return
        assert response.watch_id not in self.clients
        assert response.header.revision == self.backend.revision
        start = request.start_revision or response.header.revision + 1
        self.clients[response.watch_id] = Client(request, start)

    def on_canceled(self, response: pb.WatchResponse) -> None:
        client = self.clients.pop(response.watch_id)
        self.gone.append(client)
        client.canceled = response.compact_revision
        if response.compact_revision:
            assert response.compact_revision == self.backend.compacted
            assert client.next < response.compact_revision, "nothing that it wants is compacted"
            assert not client.parts

    def on_events(self, client: Client, response: pb.WatchResponse) -> None:
        assert not self.paused or client.parts, "events to a client that does not read"
        client.parts += response.events
        if response.fragment:
            assert client.request.fragment
            return
        events, client.parts = client.parts, []
        assert response.header.revision == self.backend.revision
        assert events[0].kv.mod_revision >= self.backend.compacted, "events that may be gone"
        expected = self.expected(client, events[-1].kv.mod_revision)
        assert [strip(event) for event in events] == [strip(event) for event in expected]
        for got, full in zip(events, expected, strict=True):
            if got != full:  # the version before may have been compacted
                assert not got.HasField("prev_kv")
                assert full.kv.mod_revision - 1 < max(self.backend.compacted, 1)
        client.events += events
        client.next = events[-1].kv.mod_revision + 1

    def on_progress(self, response: pb.WatchResponse) -> None:
        assert not self.paused
        clients = self.clients.values() if response.watch_id == -1 else [self.clients[response.watch_id]]
        assert clients
        for client in clients:
            assert response.header.revision >= client.request.start_revision
            assert not self.expected(client, response.header.revision), "progress is ahead of the events"
            client.next = max(client.next, response.header.revision + 1)

    def expected(self, client: Client, last: int) -> list[kv_pb2.Event]:
        found = []
        for revision in self.backend.view.history(client.next, last):
            for change in revision.changes:
                if client.wants(change):
                    event = kv_pb2.Event(type=0 if change.version else 1)
                    event.kv.ParseFromString(change.kv)
                    before = self.backend.view.get(change.key, change.mod_revision - 1)
                    if client.request.prev_kv and before is not None:
                        event.prev_kv.ParseFromString(before.kv)
                    found.append(event)
        return found


def strip(event: kv_pb2.Event) -> kv_pb2.Event:
    copy = kv_pb2.Event()
    copy.CopyFrom(event)
    copy.ClearField("prev_kv")
    return copy


streams = st.integers(0, 2)
writes = st.lists(st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), min_size=1, max_size=4), max_size=5)


class WatchMachine(RuleBasedStateMachine):
    """Writers, watchers and the event loop in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.backend = MemoryBackend()
        self.clock = ManualClock()
        self.service = WatchService(self.backend, self.clock, progress_seconds=10.0)
        hub = self.service.hub
        hub._response_size, hub._fragment_size = 120, 100
        self.streams = [Receiver(self.service, self.backend) for _ in range(3)]

    @rule(revisions=writes)
    def commit(self, revisions: list[list[tuple[bytes, bool]]]) -> None:
        """Several revisions in one group commit; some change several keys."""
        batch = Batch(PendingWrites(self.backend.view), self.backend.record, self.backend.header)
        for writes in revisions:
            operations = []
            for key, put in dict(writes).items():
                if put:
                    operations.append(pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"x" * 20)))
                else:
                    operations.append(pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key)))
            batch.txn(pb.TxnRequest(success=operations))
        self.backend.view.publish(batch.commit)
        for observer in self.backend.observers:
            observer(batch.commit)

    @rule(
        stream=streams,
        bounds=st.sampled_from(RANGES),
        back=st.sampled_from([None, None, -3, -1, 0, 1, 2, 8, 30]),
        watch_id=st.sampled_from([0, 0, 0, 5, 1]),
        filters=st.lists(st.sampled_from([0, 1]), max_size=1),
        flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    )
    def create(
        self,
        stream: int,
        bounds: tuple[bytes, bytes],
        back: int | None,
        watch_id: int,
        filters: list[pb.WatchCreateRequest.FilterType],
        flags: tuple[bool, bool, bool],
    ) -> None:
        start = 0 if back is None else max(self.backend.revision - back, 1)
        prev_kv, fragment, notify = flags
        request = pb.WatchCreateRequest(
            key=bounds[0],
            range_end=bounds[1],
            start_revision=start,
            watch_id=watch_id,
            filters=filters,
            prev_kv=prev_kv,
            fragment=fragment,
            progress_notify=notify,
        )
        receiver = self.streams[stream]
        receiver.requested.append(request)
        receiver.request(pb.WatchRequest(create_request=request))
        assert not receiver.requested

    @rule(stream=streams, watch_id=st.integers(0, 6))
    def cancel(self, stream: int, watch_id: int) -> None:
        receiver = self.streams[stream]
        receiver.request(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id)))
        assert watch_id not in receiver.clients

    @rule(stream=streams)
    def ask_progress(self, stream: int) -> None:
        self.streams[stream].request(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    @rule(stream=streams)
    def pause(self, stream: int) -> None:
        self.streams[stream].pause()

    @rule(stream=streams, size=st.integers(1, 300))
    def pause_later(self, stream: int, size: int) -> None:
        self.streams[stream].pause_after = size

    @rule(stream=streams)
    def resume(self, stream: int) -> None:
        self.streams[stream].resume()

    @rule(stream=streams)
    def reconnect(self, stream: int) -> None:
        self.streams[stream].session.close()
        self.streams[stream] = Receiver(self.service, self.backend)

    @rule(back=st.integers(0, 4))
    def compact(self, back: int) -> None:
        revision = self.backend.revision - back
        if revision > max(self.backend.compacted, 0):
            request = pb.CompactionRequest(revision=revision)
            self.backend.submit(Batch.compact, request, lambda _: None)

    @rule()
    def turn(self) -> None:
        """One turn of the event loop."""
        self.clock.advance(1)
        timers, self.backend.timers = self.backend.timers, []
        for _, action in timers:
            action()

    def teardown(self) -> None:
        for receiver in self.streams:
            receiver.resume()
        for _ in range(300):
            if not self.service.hub.behind:
                break
            self.turn()
        assert not self.service.hub.behind
        for receiver in self.streams:
            for client in receiver.clients.values():
                assert not receiver.expected(client, self.backend.revision), "events are missing"
            if receiver.clients and all(
                client.request.start_revision <= self.backend.revision for client in receiver.clients.values()
            ):
                seen: list[pb.WatchResponse] = []
                receiver.session.stream.send = lambda body, seen=seen: seen.append(pb.WatchResponse.FromString(body))
                receiver.request(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
                assert [answer.watch_id for answer in seen] == [-1], "everybody is up to date"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "READ_CHANGES", 3)


def run(examples: int, *, steps: int = 40) -> None:
    run_state_machine_as_test(
        WatchMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_each_watcher_gets_its_events() -> None:
    run(120)


def forget_parked(self: watch_hub.WatchHub, stream: watch_stream.WatchStream) -> None:
    for watcher in list(stream.parked):
        self.detach(watcher)
        self._sync(watcher)


def split_anywhere(events: list[Event], size: int) -> list[EventBatch]:
    del size
    return [EventBatch(event.revision, event.revision, [event], event.field) for event in events]


def always_answer(self: watch_stream.WatchStream) -> None:
    if self._progress_requested and self.watchers:
        self._progress_requested = False
        self.send(watch_stream.progress(self._hub.header(self._hub.revision), -1))


def never_paused(self: watch_stream.WatchStream) -> None:
    del self


def nothing_before(*_: object) -> Steps[tuple[dict[catch_up.Place, None], list[KeyVersion]]]:
    yield 1
    return {}, []


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (watch_hub.WatchHub, "resume", forget_parked),
        (watch_hub, "event_batches", split_anywhere),
        (watch_stream.WatchStream, "answer_progress", always_answer),
        (watch_stream.WatchStream, "pause", never_paused),
        (watch_hub.WatchHub, "compacted", lambda *_: None),
        (watch_hub.WatchHub, "is_synced", lambda *_: True),
        (watch_hub.WatchHub, "_arrive", lambda *_: None),
        (catch_up.PreviousVersions, "follow", nothing_before),
    ],
    ids=[
        "lost",
        "split",
        "early progress",
        "ignored pause",
        "uncompacted",
        "unsynced progress",
        "no future",
        "no prev_kv",
    ],
)
def test_a_broken_hub_is_noticed(owner: object, name: str, broken: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(3000)  # ends with the first that fails; the draws change with every constant of the code
