"""Rates, lag and time left, on a clock that is moved by hand."""

from brainctl.clock import ManualClock
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import History, Record
from brainctl.migrate.machine.state import Goal, Migration
from brainctl.migrate.progress import Progress


def migration(record: Record) -> Migration:
    return Migration(record, (), Goal.FOLLOW, clean=True)


def test_the_copy_has_a_rate_and_an_end() -> None:
    clock = ManualClock()
    running = migration(Record(Phase.COPYING, 1, History.ALL, expected=1_000))
    progress = Progress(running, clock)
    assert progress.figures().eta_seconds is None
    clock.advance(2)
    running.record = running.record._replace(keys=200, size=4_000)
    figures = progress.figures()
    assert (figures.keys_per_second, figures.bytes_per_second) == (100.0, 2_000.0)
    assert figures.eta_seconds == 8.0
    assert figures.lag_revisions == 0


def test_lag_is_the_time_since_the_source_was_where_the_target_is() -> None:
    clock = ManualClock()
    running = migration(Record(Phase.CATCHING_UP, 1, History.ALL, base=10, watermark=10))
    progress = Progress(running, clock)
    for revision in (20, 30, 40):
        running.source = revision
        progress.source_at(revision)
        clock.advance(1)
    figures = progress.figures()
    assert (figures.lag_revisions, figures.lag_seconds) == (30, 3.0)
    running.watermark = 30
    figures = progress.figures()
    assert (figures.lag_revisions, figures.lag_seconds) == (10, 1.0)
    assert figures.eta_seconds == 1.5
    running.watermark = 40
    figures = progress.figures()
    assert (figures.lag_revisions, figures.lag_seconds, figures.eta_seconds) == (0, 0.0, 0.0)


def test_an_idle_source_does_not_look_stale() -> None:
    clock = ManualClock()
    running = migration(Record(Phase.SYNCED, 1, History.ALL, base=10, watermark=10))
    progress = Progress(running, clock)
    running.source = 10
    progress.source_at(10)
    clock.advance(3_600)
    assert progress.figures().lag_seconds == 0.0


def test_the_rate_is_that_of_now() -> None:
    """After a burst it does not fade: a second later it is 0."""
    clock = ManualClock()
    running = migration(Record(Phase.SYNCED, 1, History.ALL, base=10, watermark=10))
    progress = Progress(running, clock)
    clock.advance(1)
    running.record = running.record._replace(events=1_000)
    assert progress.figures().events_per_second == 1_000.0
    clock.advance(0.25)
    assert progress.figures().events_per_second == 800.0
    clock.advance(1)
    running.record = running.record._replace(events=1_010)
    assert progress.figures().events_per_second == 10.0
    clock.advance(1)
    assert progress.figures().events_per_second == 0.0
    clock.advance(60)
    running.record = running.record._replace(events=1_130)
    assert progress.figures().events_per_second == 2.0
