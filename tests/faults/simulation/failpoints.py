"""Named places in the engine and the node at which a simulated server crashes, meets an error, or sleeps.

A place is a call: it is reached before the call is made and after it has returned. Whenever one is reached that has
had its turn less often than the others, one of three things happens there: power goes, some call of the file system
will fail, or a second passes. What a server must be like afterwards is what World says.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, NamedTuple

import pytest

from brainctl.engine.background.reclaimer import Reclaimer
from brainctl.engine.background.run_build import RunBuild
from brainctl.engine.background.segment_rewrite import SegmentRewrite
from brainctl.engine.engine import Engine
from brainctl.engine.index.key_index import KeyIndex
from brainctl.engine.index.run_writer import RunWriter
from brainctl.engine.log import manifest
from brainctl.engine.log.log_writer import LogWriter
from brainctl.engine.log.manifest import Manifest
from brainctl.engine.log.segment_allocator import SegmentAllocator
from brainctl.engine.recovery import open_store as opening
from brainctl.mvcc.watch_hub import WatchHub
from brainctl.node.local.group_commit import GroupCommit
from brainctl.node.services.lease import LeaseService
from tests.faults.simulation.world import EIO, ENOSPC, World

ACTIONS: Final = ("crash", "error", "sleep")
KINDS: Final = ("write", "sync", "create", "rename", "sync_directory", "open", "allocate", "unlink")
QUIET: Final = 4
"""Steps between two turns, so that a server lives long enough to reach what is rare."""
LEAD: Final = 1
"""By how many turns a place may be ahead of that which had the fewest."""


class Place(NamedTuple):
    """A call that is watched."""

    name: str
    owner: Any
    attribute: str


PLACES: Final = (
    Place("a group is closed", GroupCommit, "_seal"),
    Place("a group is laid out", Engine, "encode"),
    Place("a group is written", LogWriter, "_write_group"),
    Place("log space is written", SegmentAllocator, "write"),
    Place("a group is published", Engine, "publish"),
    Place("a group is answered", GroupCommit, "_durable"),
    Place("the log is confirmed", Engine, "confirm"),
    Place("the log goes on in another segment", LogWriter, "_rotate"),
    Place("a segment is made ahead", LogWriter, "_make_ahead"),
    Place("a segment is made", SegmentAllocator, "make"),
    Place("a dead file is kept", SegmentAllocator, "retire"),
    Place("the manifest is replaced", Manifest, "_write"),
    Place("a manifest is written", manifest, "_write_new"),
    Place("a manifest takes its name", manifest, "_install"),
    Place("what is dead is measured", Reclaimer, "_measure"),
    Place("a packed segment is written", SegmentRewrite, "_write"),
    Place("a packed segment is synced", SegmentRewrite, "_sync"),
    Place("a packed segment is adopted", Reclaimer, "_adopt"),
    Place("the delta is frozen", KeyIndex, "freeze"),
    Place("a run is finished", RunWriter, "finish"),
    Place("a run is synced", RunBuild, "_sync"),
    Place("a run is taken into use", KeyIndex, "replace_frozen"),
    Place("runs are merged", KeyIndex, "exchange"),
    Place("a log is read again", opening, "_recover"),
    Place("orphans are removed", opening, "_remove_orphans"),
    Place("leases are looked through", LeaseService, "_tick"),
    Place("watchers are told", WatchHub, "publish"),
    Place("watchers catch up", WatchHub, "feed"),
)
POINTS: Final = [f"{when} {place.name}" for place in PLACES for when in ("before", "after")]


class Crashed(SystemExit):
    """Power has gone. A SystemExit, because asyncio hands no other exception on at once."""


class FailingWorld(World):
    """A world in which the places have their turns."""

    def __init__(self, seed: int) -> None:
        self.turns: Counter[tuple[str, str]] = Counter()
        """How often each action happened at each point."""
        self._pause = QUIET
        self._armed = False
        super().__init__(seed)
        self._armed = True

    def open(self) -> None:
        """As in World; power may go on the way."""
        while True:
            try:
                super().open()
            except Crashed:
                self.loop.abandon()
                self._come_back()
            else:
                return

    def step(self) -> str:
        """As in World."""
        self._pause -= 1
        try:
            done = super().step()
            self.pass_time(self.rng.choice((0.0, 0.1, 1.5)))  # most of what is rare is done beside the requests
        except Crashed:
            self._come_back()
            self.reopen()
            return "crash"
        return done

    def settle(self) -> None:
        """As in World, undisturbed."""
        self._armed, armed = False, self._armed
        super().settle()
        self._armed = armed

    def reach(self, point: str) -> None:
        """A place is reached: perhaps it has its turn."""
        if not self._armed or self._pause > 0:
            return
        action = min(ACTIONS, key=lambda action: self.turns[point, action])
        if self.turns[point, action] >= fewest(self.turns) + LEAD:
            return
        self._pause = QUIET
        self.turns[point, action] += 1
        if action == "crash":
            self.journal.stopped = True
            self.image = self.memory.crash_clone(self.rng)
            raise Crashed
        if action == "error":
            self.files.fail(self.rng.choice(KINDS), 1, self.rng.choice((EIO, EIO, ENOSPC)))
        else:
            self.clock.now += 1.0
            # A second in which the server hears nobody is not counted against a lease.
            self.due = {lease: max(due + 1.0, self.clock.now) for lease, due in self.due.items()}

    def _come_back(self) -> None:
        assert self.image is not None
        self.memory.before_sync = lambda: None
        self.become(self.image)


@contextmanager
def watched(world: FailingWorld) -> Iterator[None]:
    """Let a world know of all places that are reached."""
    with pytest.MonkeyPatch.context() as patch:
        for place in PLACES:
            patch.setattr(place.owner, place.attribute, _watching(world, place))
        yield


def _watching(world: FailingWorld, place: Place) -> Callable[..., Any]:
    original = getattr(place.owner, place.attribute)

    @wraps(original)
    def call(*args: Any) -> Any:
        world.reach(f"before {place.name}")
        result = original(*args)
        world.reach(f"after {place.name}")
        return result

    return call


def run(seed: int, turns: int, steps: int) -> FailingWorld:
    """A world in which each action has happened at each point so many times, after so many steps at the most.

    AssertionError with seed and step when something was not as it must be.
    """
    world = FailingWorld(seed)
    number = 0
    try:
        with watched(world):
            while number < steps and fewest(world.turns) < turns:
                world.step()
                number += 1
            world.settle()
    except Exception as error:
        raise AssertionError(f"seed {seed}, step {number}: {type(error).__name__}: {error}") from error
    finally:
        world.loop.abandon()
    return world


def fewest(turns: Counter[tuple[str, str]]) -> int:
    """How often the rarest thing happened."""
    return min(turns[point, action] for point in POINTS for action in ACTIONS)
