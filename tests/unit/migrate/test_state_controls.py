"""The property test sees: each of these faults, planted into the migration, makes it fail."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from brainctl.errors import BrainctlError
from brainctl.migrate.machine import state
from brainctl.migrate.machine.base_copy import BaseCopy, Pages
from brainctl.migrate.machine.event_buffer import Backlog
from brainctl.migrate.machine.events import RevisionRead
from brainctl.migrate.machine.lease_ledger import LeaseBook
from tests.unit.migrate.model import TargetModel
from tests.unit.migrate.test_state_property import MigrationMachine

Plant = Callable[[pytest.MonkeyPatch], None]
SEARCHES = 12
"""Each begins elsewhere. One alone may miss a fault: what it tries depends on the modules that other tests imported."""
FOUND = (AssertionError, BrainctlError, KeyError, ExceptionGroup)


def keys_come_before_their_leases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LeaseBook, "missing", lambda _self, _wanted: ())


def the_cursor_runs_ahead_of_the_write(patch: pytest.MonkeyPatch) -> None:
    original = BaseCopy.peek

    def peek(self: BaseCopy) -> Pages | None:
        pages = original(self)
        return pages and pages._replace(kvs=pages.kvs[:-1])

    patch.setattr(BaseCopy, "peek", peek)


def the_stream_loses_a_revision(patch: pytest.MonkeyPatch) -> None:
    original = Backlog.add

    def add(self: Backlog, revisions: list[RevisionRead]) -> None:
        original(self, [read._replace(events=[]) if read.revision % 7 == 0 else read for read in revisions])

    patch.setattr(Backlog, "add", add)


def the_stream_repeats_a_revision(patch: pytest.MonkeyPatch) -> None:
    original = Backlog.add

    def add(self: Backlog, revisions: list[RevisionRead]) -> None:
        original(self, revisions)
        if self._queue:
            self._queue.append(self._queue[-1])

    patch.setattr(Backlog, "add", add)


def a_resync_keeps_the_old_keys(patch: pytest.MonkeyPatch) -> None:
    async def reset(self: TargetModel, checkpoint: object) -> None:
        self.stored = checkpoint  # type: ignore[assignment]

    patch.setattr(TargetModel, "reset", reset)


def the_end_comes_before_the_copy_is_current(patch: pytest.MonkeyPatch) -> None:
    original = state.Migration._settle

    def settle(self: state.Migration) -> None:
        self._read_since_copy = min(self._read_since_copy, self.watermark)
        original(self)

    patch.setattr(state.Migration, "_settle", settle)


@pytest.mark.parametrize(
    "plant",
    [
        keys_come_before_their_leases,
        the_cursor_runs_ahead_of_the_write,
        the_stream_loses_a_revision,
        the_stream_repeats_a_revision,
        a_resync_keeps_the_old_keys,
        the_end_comes_before_the_copy_is_current,
    ],
)
def test_a_planted_fault_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    quick = settings(
        max_examples=200,
        stateful_step_count=60,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    for number in range(SEARCHES):
        machine = seed(number)(type("PlantedMachine", (MigrationMachine,), {}))
        try:
            run_state_machine_as_test(machine, settings=quick)
        except FOUND:
            return
    pytest.fail(f"{SEARCHES} searches did not find the fault")
