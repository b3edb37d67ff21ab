"""The record of a migration survives its encoding; anything else is named as damage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.errors import StoreDamaged
from brainctl.migrate.machine.phases import TRANSITIONS, Phase, Trigger, step
from brainctl.migrate.machine.record import History, Record, Span
from brainctl.migrate.machine.witness import DIGEST_BYTES, WINDOW

NUMBERS = st.integers(0, 2**63 - 1)


@given(
    st.builds(
        Record,
        phase=st.sampled_from(Phase),
        cluster=st.integers(0, 2**64 - 1),
        history=st.sampled_from(History),
        base=NUMBERS,
        watermark=NUMBERS,
        expected=NUMBERS,
        keys=NUMBERS,
        size=NUMBERS,
        events=NUMBERS,
        resyncs=NUMBERS,
        chosen=NUMBERS,
        frozen=st.text(),
        raft_term=NUMBERS,
        raft_index=NUMBERS,
        witness=st.text(),
        spans=st.lists(st.builds(Span, st.binary(), st.binary())).map(tuple),
    )
)
def test_a_record_survives(record: Record) -> None:
    assert Record.decode(record.encode()) == record


def test_the_record_of_a_stream_is_small() -> None:
    record = Record(Phase.CATCHING_UP, 2**64 - 1, History.ALL, 10**9, 10**9, 10**7, 10**7, 10**10, 10**9, 3)
    record = record._replace(raft_term=100, raft_index=10**10, witness="f" * 2 * DIGEST_BYTES * WINDOW)
    assert len(record.encode()) < 400


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"format":1}', b'{"format":1,"phase":"nowhere"}', b'{"format":2,"phase":"new"}', b"\xff"],
)
def test_what_is_no_record_is_damage(data: bytes) -> None:
    with pytest.raises(StoreDamaged):
        Record.decode(data)


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_decoder(data: bytes) -> None:
    with pytest.raises(StoreDamaged):
        Record.decode(data)


def test_every_phase_can_be_reached_and_only_committed_is_final() -> None:
    reached, todo = {Phase.NEW}, [Phase.NEW]
    while todo:
        for following in TRANSITIONS[todo.pop()].values():
            if following not in reached:
                reached.add(following)
                todo.append(following)
    assert reached == set(Phase)
    assert [phase for phase, ways in TRANSITIONS.items() if not ways] == [Phase.COMMITTED]


def test_there_is_no_other_way() -> None:
    with pytest.raises(KeyError):
        step(Phase.COPYING, Trigger.FROZEN)
