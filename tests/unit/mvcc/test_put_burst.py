"""Puts in a row are answered, and leave the store, as one by one: only what the short way knows is cut up by it."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from brainctl.errors import BrainctlError, StoreDamaged
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import put_burst as module
from brainctl.mvcc.batch import Batch, lease_record
from brainctl.mvcc.header import Header
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.put_burst import put_burst
from brainctl.wire.varint import varint
from tests.differential import operations
from tests.support.memory import MemoryView

HEADER = Header(1, 2, 3)
LONG_KEY = b"k" * 127


def put(batch: Batch, body: bytes) -> bytes:
    try:
        request = pb.PutRequest.FromString(body)
    except DecodeError as error:
        raise StoreDamaged("malformed") from error
    return batch.put(request)


def field(tag: bytes, value: bytes, padding: int = 0) -> bytes:
    """A field whose length may be written with more bytes than it needs."""
    length = bytearray(varint(len(value)))
    if padding:
        length[-1] |= 128
        length += b"\x80" * (padding - 1) + b"\0"
    return tag + bytes(length) + value


keys = st.sampled_from([b"", b"a", b"b", b"\x00", b"\x12\x01", LONG_KEY, LONG_KEY + b"k"])
values = st.one_of(
    st.sampled_from([b"", b"v", b"\x12\x01v", bytes(127), bytes(128)]),
    st.integers(0, 300).map(bytes),
)
paddings = st.sampled_from([0, 0, 0, 0, 1, 2])
fields = st.one_of(
    st.builds(field, st.just(b"\n"), keys, paddings),
    st.builds(field, st.just(b"\x12"), values, paddings),
    st.sampled_from([b"\x18\x07", b"\x20\x01", b"\x28\x01", b"\x30\x01", b"\0", b"\x12", b"\x80\x01\x01"]),
)
plain = st.builds(lambda key, value: field(b"\n", key) + field(b"\x12", value), keys, values)
bodies = st.one_of(
    plain,
    plain,
    operations.puts.map(pb.PutRequest.SerializeToString),
    st.lists(fields, max_size=4).map(b"".join),
    st.tuples(plain, st.integers(0, 20)).map(lambda cut: cut[0][: cut[1]]),
    st.binary(max_size=12),
)


def store(revision: int) -> tuple[MemoryView, Batch]:
    view = MemoryView()
    view.meta = {lease_record(7): b""}
    view.revision = revision
    return view, Batch(PendingWrites(view), view.meta.get, HEADER)


def compare(groups: list[list[bytes]], revision: int) -> None:
    view, alone = store(revision)
    same, together = store(revision)
    for group in groups:
        expected: list[bytes | str] = []
        for body in group:
            try:
                expected.append(put(alone, body))
            except BrainctlError as error:
                expected.append(str(error))
        answers, failed = put_burst(together, group, put)
        assert [str(answer) if isinstance(answer, BrainctlError) else answer for answer in answers] == expected
        assert failed == sum(isinstance(answer, BrainctlError) for answer in answers)
    assert together.commit == alone.commit
    for batch, durable in ((alone, view), (together, same)):
        durable.publish(batch.commit)
        batch.staged.durable(batch.commit)
    assert same.log == view.log
    assert same.revision == view.revision


relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck))
groups = st.lists(st.lists(bodies, min_size=1, max_size=12), min_size=1, max_size=3)
revisions = st.sampled_from([1, 100, 127, 128, 250, (1 << 14) - 5, (1 << 21) - 5, 1 << 40])


@relaxed
@given(groups, revisions)
@example([[field(b"\n", b"a") + b"\0"]], 1)
@example([[field(b"\n", b"a") + field(b"\x12", bytes(127), padding=1)]], 1)
def test_a_run_of_puts_is_as_one_by_one(groups: list[list[bytes]], revision: int) -> None:
    compare(groups, revision)


@pytest.mark.parametrize("size", [1, 127, 128, 129, 16_383, 16_384, 1 << 20])
def test_a_value_of_any_size(size: int) -> None:
    compare([[field(b"\n", b"a") + field(b"\x12", b"\x12" * size)] * 2], 1)


def test_control_a_short_way_that_does_not_look_at_lengths_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_value_field", lambda _size: b"\x12")

    with pytest.raises((AssertionError, IndexError)):
        compare([[field(b"\n", b"a") + field(b"\x12", bytes(127), padding=1)] * 2], 1)
