"""The source compacts while it is copied: the copy goes on where it stopped, and what is copied follows."""

from collections.abc import Callable
from random import Random

import pytest

from brainctl.migrate.machine import state
from brainctl.migrate.machine.events import AdvanceBase, ReadPage, Write
from brainctl.migrate.machine.record import History, Record
from tests.unit.migrate.world import World

KEYS = [b"/k/%02d" % number for number in range(40)]
NEW = 20
"""The number of keys that come in later."""


class Compacting(World):
    """A world in which the source changes between any two steps; events reach an open watch at once, as with etcd."""

    def __init__(self, random: Random) -> None:
        super().__init__(history=random.choice(list(History)))
        self.random = random
        for key in KEYS:
            self.source.write({key: (b"first", 0)}, set())
        self.source.compact(self.source.revision)

    def change(self) -> None:
        """One transaction; some keys end, some come again, some are new."""
        puts = [*self.random.sample(KEYS, 2), b"/new/%d" % self.random.randrange(NEW)]
        self.source.write(dict.fromkeys(puts, (self.random.randbytes(2), 0)), {self.random.choice(KEYS)})
        self.stream(10)

    def act(self) -> None:
        """One step of the migration, in any order."""
        if self.waiting:
            self.do(self.random.randrange(len(self.waiting)))
        self.stream(10)
        self.check()

    @property
    def stored(self) -> Record:
        assert self.target.stored is not None
        return Record.decode(self.target.stored.state)


def copy_with_compactions(seed: int) -> None:
    world = Compacting(Random(seed))
    world.do(0)  # the base is chosen
    for _ in range(400):
        world.act()
        if world.watch is not None and world.stored.spans:
            world.change()
            world.source.compact(world.source.revision)
    world.run()
    world.check()
    assert world.target.revision == world.source.revision
    assert world.stored.resyncs == 0
    assert world.stored.chosen < world.stored.base
    assert len(world.source.live(world.stored.base)) // 2 < world.stored.keys <= len(KEYS) + NEW, "once each"


def copy_with_many_seeds() -> None:
    for seed in range(20):
        copy_with_compactions(seed)


@pytest.mark.parametrize("seed", range(20))
def test_a_compaction_after_each_step_restarts_nothing(seed: int) -> None:
    copy_with_compactions(seed)


def a_base_moves_on_without_its_changes(patch: pytest.MonkeyPatch) -> None:
    original = state.Migration._next_advance

    def advance(self: state.Migration) -> Write | None:
        write = original(self)
        return write._replace(events=[]) if isinstance(write, AdvanceBase) else write

    patch.setattr(state.Migration, "_next_advance", advance)


def a_page_of_a_newer_revision_is_written_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(state.Migration, "_next_advance", state.Migration._next_import)


@pytest.mark.parametrize("plant", [a_base_moves_on_without_its_changes, a_page_of_a_newer_revision_is_written_at_once])
def test_control_a_planted_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        copy_with_many_seeds()


@pytest.mark.parametrize("seed", range(20))
def test_a_process_killed_at_any_step_goes_on(seed: int) -> None:
    """The stream of the next process begins after the base that the record has, which is not compacted."""
    world = Compacting(Random(seed))
    world.do(0)
    kills = 0
    for _ in range(600):
        world.act()
        if not world.stored.spans:
            continue
        world.change()
        world.source.compact(world.stored.base + 1)
        if world.random.random() < 0.2:
            world.crash(written=world.random.random() < 0.5)
            world.check()
            world.stream(0)
            kills += 1
    world.run()
    world.check()
    assert world.target.revision == world.source.revision
    assert world.stored.resyncs == 0
    assert kills > 3


def test_pages_wait_for_the_stream_to_be_open() -> None:
    world = Compacting(Random(0))
    world.do(0)
    assert world.watch is not None
    assert not any(isinstance(action, ReadPage) for action in world.waiting)
    world.stream(0)
    assert any(isinstance(action, ReadPage) for action in world.waiting)


def test_a_page_of_a_newer_revision_waits_for_the_changes_before_it() -> None:
    """What is copied must have the state of the page's revision when the page is written."""
    world = Compacting(Random(1))
    world.do(0)
    world.stream(0)
    while not world.stored.keys:
        world.do(0)
    world.source.write({KEYS[0]: (b"changed", 0), KEYS[-1]: (b"changed", 0)}, set())
    world.source.compact(world.source.revision)
    while world.waiting:  # until all that is left is what the stream has to bring
        world.do(0)
    before = world.stored
    assert before.base < world.source.revision
    world.stream(10)
    while world.stored.base == before.base:
        world.do(0)
    world.check()
    world.run()
    world.check()
    assert world.stored.resyncs == 0
