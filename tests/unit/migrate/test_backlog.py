"""The queue of revisions: in order, without gaps, once each, in writes of bounded size."""

import pytest

from brainctl.migrate.machine.event_buffer import FULL_BYTES, WRITE_BYTES, WRITE_EVENTS, Backlog, StreamBroken
from brainctl.migrate.machine.events import RevisionRead


def read(revision: int, events: int = 1, size: int = 10) -> RevisionRead:
    return RevisionRead(revision, [b"%d" % revision] * events, size, frozenset({revision}))


def test_revisions_that_come_again_are_left_out() -> None:
    backlog = Backlog(5)
    backlog.add([read(4), read(5), read(6)])
    backlog.add([read(6), read(7)])
    batch = backlog.peek()
    assert batch is not None
    assert (batch.events, batch.revision, batch.leases) == ([b"6", b"7"], 7, {6, 7})
    backlog.discard(batch)
    assert backlog.peek() is None


def test_a_gap_is_refused() -> None:
    backlog = Backlog(5)
    with pytest.raises(StreamBroken, match="from revision 6 to 8"):
        backlog.add([read(6), read(8)])
    assert backlog.received == 6


@pytest.mark.parametrize(("events", "size"), [(WRITE_EVENTS // 2 + 1, 10), (1, WRITE_BYTES // 2 + 1)])
def test_a_write_ends_with_a_whole_revision(events: int, size: int) -> None:
    backlog = Backlog(1)
    backlog.add([read(2, events, size), read(3, events, size)])
    for revision in (2, 3):
        batch = backlog.peek()
        assert batch is not None
        assert batch.revision == revision
        backlog.discard(batch)


def test_a_revision_of_any_size_is_one_write() -> None:
    backlog = Backlog(1)
    backlog.add([read(2, 10 * WRITE_EVENTS, FULL_BYTES)])
    assert backlog.full
    batch = backlog.peek()
    assert batch is not None
    assert len(batch.events) == 10 * WRITE_EVENTS
    backlog.discard(batch)
    assert not backlog.full
