"""Where the time of writes goes: the stages on a write's way, in counters that cost a write next to nothing.

The time is taken per group commit, on the way of the write that opened the group: it waits longest, and the others of
its group are counted as having waited as long. So the histograms count every write, and each stage is an upper bound.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from brainctl.clock import Clock, Durations
from brainctl.engine.engine import Engine

STAGES: Final = {
    "receive": "the read of the connection, and the requests before it in that read",
    "batch": "evaluating the write, and laying out the group for the log",
    "queue": "waiting for the group before it, and for more writes to join",
    "wake": "handing the group to the thread that writes, and back: the scheduler, and the lock of the interpreter",
    "write": "handing the bytes to the file system",
    "sync": "fdatasync: the disk",
    "apply": "showing the changes to readers and watchers",
    "reply": "making the answers of the group",
}
"""By name, in the order of the way: what the time was spent on."""
KEPT: Final = 256
"""So many of the last groups can be asked for one by one."""


@dataclass(slots=True)
class Path:
    """The way of one group commit: moments of the clock."""

    received: float = 0.0
    """The connection was read that brought the first write."""
    submitted: float = 0.0
    """The first write reached the medium."""
    evaluated: float = 0.0
    sealed: float = 0.0
    """No more writes join."""
    encoded: float = 0.0
    taken: float = 0.0
    """The writer thread has it."""
    written: float = 0.0
    """It is durable."""
    syncing: float = 0.0
    """Seconds of the last that were syncs."""
    woken: float = 0.0
    """The event loop has it again."""
    applied: float = 0.0
    replied: float = 0.0
    writes: int = 0
    revision: int = 0
    """The newest of the group."""

    def seconds(self) -> dict[str, float]:
        """By stage, in order; together they are what passed from `received` to `replied`."""
        return {
            "receive": self.submitted - self.received,
            "batch": self.evaluated - self.submitted + self.encoded - self.sealed,
            "queue": self.sealed - self.evaluated,
            "wake": self.taken - self.encoded + self.woken - self.written,
            "write": self.written - self.taken - self.syncing,
            "sync": self.syncing,
            "apply": self.applied - self.woken,
            "reply": self.replied - self.applied,
        }


@runtime_checkable
class Timed(Protocol):
    """A medium over the local engine, which times the stages of its writes."""

    stages: "Stages"
    engine: Engine


def stages_of(medium: object, clock: Clock) -> "Stages":
    """The stages of a medium; of one that times none, stages that stay empty."""
    return medium.stages if isinstance(medium, Timed) else Stages(clock)


class Stages:
    """The stages of the writes of one medium."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.heard_at = 0.0
        """When the connection was read whose requests are being served; 0.0 when none is."""
        self.durations = {name: Durations(1e-6, 24) for name in STAGES}
        """Per stage, from a microsecond to eight seconds."""
        self.groups = Durations(1, 14)
        """How many writes the groups had; its unit is a write."""
        self._last: deque[Path] = deque(maxlen=KEPT)

    def heard(self) -> None:
        """A connection has been read, and what it brought is submitted next."""
        self.heard_at = self._clock.monotonic()

    def served(self) -> None:
        """What the connection brought has been submitted."""
        self.heard_at = 0.0

    def done(self, path: Path, revision: int) -> None:
        """A group has come to its end, with this as its newest revision."""
        path.replied = self._clock.monotonic()
        path.revision = revision
        for name, seconds in path.seconds().items():
            self.durations[name].add(seconds, path.writes)
        self.groups.add(path.writes)
        self._last.append(path)

    def of(self, revision: int) -> Path | None:
        """The way of the group that made a revision; None when it is not among the last ones."""
        found = None
        for path in reversed(self._last):
            if path.revision < revision:
                break
            found = path
        return found
