"""The same writes and watch requests to a real etcd and to the Watch service: each watcher sees the same.

How events are grouped into responses may differ, and does; what is compared is each watcher's sequence of events and
each answer to a request, field by field.
"""

from collections.abc import Iterator
from queue import SimpleQueue

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from brainctl.clock import ManualClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.node.services.watch import WatchService
from tests.peers.servers import Etcd
from tests.support import evaluate
from tests.support.memory import MemoryBackend

KEYS = [b"\0", b"a", b"a/1", b"b", b"c", b"\xff"]
SECONDS = 120

PATHS = {
    pb.PutRequest: ("/etcdserverpb.KV/Put", Batch.put),
    pb.DeleteRangeRequest: ("/etcdserverpb.KV/DeleteRange", Batch.delete_range),
    pb.TxnRequest: ("/etcdserverpb.KV/Txn", evaluate.txn),
    pb.CompactionRequest: ("/etcdserverpb.KV/Compact", Batch.compact),
}
puts = st.builds(pb.PutRequest, key=st.sampled_from(KEYS), value=st.sampled_from([b"", b"v"]))
deletes = st.builds(pb.DeleteRangeRequest, key=st.sampled_from(KEYS), range_end=st.sampled_from([b"", b"b", b"\0"]))
operations = st.builds(lambda request: pb.RequestOp(request_put=request), puts) | st.builds(
    lambda request: pb.RequestOp(request_delete_range=request), deletes
)
txns = st.lists(operations, min_size=1, max_size=3).map(lambda found: pb.TxnRequest(success=found))
creates = st.builds(
    pb.WatchCreateRequest,
    key=st.sampled_from([*KEYS, b""]),
    range_end=st.sampled_from([b"", b"", b"\0", b"b", b"c"]),
    start_revision=st.sampled_from([0, 0, -1, 1, 2, 3, 5, 8]),
    watch_id=st.sampled_from([0, 0, 0, 1, 9, -7]),
    prev_kv=st.booleans(),
    filters=st.lists(st.sampled_from([0, 1]), max_size=2),
    fragment=st.booleans(),
)


class Reference:
    """A real etcd's stream."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.requests: SimpleQueue[bytes | None] = SimpleQueue()
        self.call = channel.stream_stream("/etcdserverpb.Watch/Watch")(iter(self.requests.get, None), timeout=SECONDS)

    def send(self, request: pb.WatchRequest) -> None:
        self.requests.put(request.SerializeToString())

    def read(self) -> pb.WatchResponse:
        """The next response; fails when none comes in time."""
        return pb.WatchResponse.FromString(next(self.call))

    def close(self) -> None:
        self.requests.put(None)
        self.call.cancel()


class Candidate:
    """The service's stream."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.backend = backend
        self.responses: list[pb.WatchResponse] = []
        self.session = WatchService(backend, ManualClock()).open(self.take)

    def take(self, body: bytes) -> None:
        self.responses.append(pb.WatchResponse.FromString(body))

    def send(self, request: pb.WatchRequest) -> None:
        self.session.receive(request.SerializeToString())

    def read(self) -> list[pb.WatchResponse]:
        """All responses since the last call, once everybody has caught up."""
        while due := [action for seconds, action in self.backend.timers if seconds == 0]:
            self.backend.timers.clear()
            for action in due:
                action()
        found, self.responses = self.responses, []
        return found

    def close(self) -> None:
        self.session.close()
        self.backend.observers.clear()
        self.backend.timers.clear()


class Seen:
    """What a client made of the responses: events by watcher, and the answers."""

    def __init__(self) -> None:
        self.events: dict[int, list[Message]] = {}
        self.answers: list[pb.WatchResponse] = []
        self.live: set[int] = set()
        self.count = 0

    def add(self, response: pb.WatchResponse) -> None:
        self.count += max(len(response.events), 1)
        if response.events:
            self.events.setdefault(response.watch_id, []).extend(response.events)
            return
        answer = pb.WatchResponse.FromString(response.SerializeToString())
        answer.header.CopyFrom(pb.ResponseHeader(revision=response.header.revision))
        self.answers.append(answer)
        if response.canceled:
            self.live.discard(response.watch_id)
        else:
            self.live.add(response.watch_id)

    def sorted_answers(self) -> list[pb.WatchResponse]:
        """In an order that does not depend on when a watcher was found to be late."""
        return sorted(self.answers, key=lambda answer: (answer.watch_id, answer.canceled, answer.SerializeToString()))


class Pair:
    """The two, with the same history."""

    def __init__(self, server: Etcd) -> None:
        self.channel = grpc.insecure_channel(server.endpoint)
        self.backend = MemoryBackend()

    def write(self, request: Message) -> None:
        path, evaluate = PATHS[type(request)]
        answers: list[object] = []
        self.backend.submit(evaluate, request, answers.append)
        try:
            self.channel.unary_unary(path)(request.SerializeToString(), timeout=SECONDS)
        except grpc.RpcError as error:
            assert str(answers[0]) == error.details()  # noqa: PT017 - etcd's error is what is expected

    def watch(self) -> "Watched":
        return Watched(Reference(self.channel), Candidate(self.backend))


class Watched:
    """A stream to each of the two."""

    def __init__(self, reference: Reference, candidate: Candidate) -> None:
        self.reference = reference
        self.candidate = candidate
        self.wanted = Seen()
        self.got = Seen()

    def send(self, request: pb.WatchRequest) -> None:
        self.reference.send(request)
        self.candidate.send(request)

    def settle(self) -> None:
        """Read as much from etcd as the candidate has sent."""
        for response in self.candidate.read():
            self.got.add(response)
        while self.wanted.count < self.got.count:
            self.wanted.add(self.reference.read())

    def check(self) -> None:
        assert self.got.events == self.wanted.events
        assert self.got.sorted_answers() == self.wanted.sorted_answers()

    def close(self) -> None:
        self.reference.close()
        self.candidate.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield Pair(server)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    before=st.lists(puts | deletes | txns, max_size=8),
    compact=st.none() | st.integers(0, 6),
    made=st.lists(creates, min_size=1, max_size=6),
    after=st.lists(puts | deletes | txns, max_size=6),
)
def test_equal_to_etcd(
    pair: Pair, before: list[Message], compact: int | None, made: list[pb.WatchCreateRequest], after: list[Message]
) -> None:
    base = pair.backend.revision
    for request in before:
        pair.write(request)
    if compact is not None:
        pair.write(pb.CompactionRequest(revision=base + compact, physical=True))
    streams = pair.watch()
    try:
        for request in made:
            if request.start_revision > 0:
                request.start_revision += max(base - 3, 0)
            streams.send(pb.WatchRequest(create_request=request))
        streams.settle()
        for request in after:
            pair.write(request)
        streams.settle()
        for watch_id in [*sorted(streams.got.live), 77]:
            streams.send(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id)))
        streams.settle()
        streams.check()
    finally:
        streams.close()


def test_progress_is_equal(pair: Pair) -> None:
    streams = pair.watch()
    try:
        streams.send(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"a")))
        streams.settle()
        pair.write(pb.PutRequest(key=b"other"))
        streams.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
        streams.settle()
        streams.check()
        assert [answer.watch_id for answer in streams.got.answers] == [0, -1]
    finally:
        streams.close()
