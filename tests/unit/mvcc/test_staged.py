"""Writes that are evaluated while earlier ones are on their way to the disk get the answers they would get alone."""

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch, lease_record
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header
from brainctl.mvcc.pending_writes import PendingWrites
from tests.differential import operations
from tests.support import evaluate
from tests.support.memory import MemoryView

EVALUATE: dict[type[Message], Any] = {
    pb.PutRequest: Batch.put,
    pb.DeleteRangeRequest: Batch.delete_range,
    pb.TxnRequest: evaluate.txn,
    pb.CompactionRequest: Batch.compact,
}
HEADER = Header(1, 2, 3)


class Line:
    """A store in which a batch becomes durable only when it is told to."""

    def __init__(self) -> None:
        self.view = MemoryView()
        self.view.meta = {lease_record(7): b"", lease_record(8): b""}
        self.staged = PendingWrites(self.view)
        self.in_flight: list[Commit] = []
        self.open()

    def open(self) -> None:
        self.batch = Batch(self.staged, self.view.meta.get, HEADER)

    def ask(self, request: Message) -> bytes | str:
        try:
            return EVALUATE[type(request)](self.batch, request)  # type: ignore[no-any-return]
        except BrainctlError as error:
            return str(error)

    def seal(self) -> None:
        if not self.batch.empty:
            self.in_flight.append(self.batch.commit)
            self.open()

    def make_durable(self) -> None:
        if self.in_flight:
            commit = self.in_flight.pop(0)
            self.view.publish(commit)
            self.staged.durable(commit)


requests = operations.weighted(
    (4, operations.puts), (1, operations.deletes), (4, operations.txns), (1, operations.compactions)
)


def run(data: st.DataObject, pipelined: Line, alone: Line) -> None:
    for _ in range(data.draw(st.integers(1, 30))):
        request = operations.resolve(data.draw(requests), alone.staged.revision)
        assert pipelined.ask(request) == alone.ask(request), request
        alone.seal()
        alone.make_durable()
        for step in data.draw(st.lists(st.sampled_from([pipelined.seal, pipelined.make_durable]), max_size=3)):
            step()
    pipelined.seal()
    while pipelined.in_flight:
        pipelined.make_durable()
    assert pipelined.view.log == alone.view.log
    assert (pipelined.view.revision, pipelined.view.compacted) == (alone.view.revision, alone.view.compacted)


relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(data=st.data())
def test_a_pipeline_of_batches_answers_as_one_write_at_a_time(data: st.DataObject) -> None:
    run(data, Line(), Line())


def test_a_read_at_a_negative_revision_sees_what_is_staged() -> None:
    line = Line()
    line.ask(pb.PutRequest(key=b"k", value=b"v"))
    line.seal()
    put = pb.RequestOp(request_put=pb.PutRequest(key=b"other"))
    read = pb.RequestOp(request_range=pb.RangeRequest(key=b"k", revision=-1))
    answer = line.ask(pb.TxnRequest(success=[put, read]))
    assert isinstance(answer, bytes)
    assert pb.TxnResponse.FromString(answer).responses[1].response_range.kvs[0].value == b"v"


def test_control_a_write_that_misses_what_is_staged_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PendingWrites, "get", lambda self, key: self.view.get(key))

    @settings(
        relaxed,
        max_examples=1000,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    @given(data=st.data())
    def blind(data: st.DataObject) -> None:
        run(data, Line(), Line())

    with pytest.raises(AssertionError):
        blind()
