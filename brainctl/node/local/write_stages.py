"""The timing of writes: the stages on a write's way, in counters that cost a write next to nothing.

The time is taken once per group commit, for the write that opened the group: it waits longest, and the others of its
group are counted as having waited as long. So the histograms count every write, and each stage is an upper bound.
"""

from collections import deque
from itertools import islice
from typing import Final

from brainctl.clock import Clock, Durations

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
"""Work of each stage, by its name, in the order in which a write passes them."""
BUCKETS: Final = 24
"""Buckets of a histogram of stages: powers of two of a microsecond, up to about eight seconds."""
SLOW_SECONDS: Final = 0.1
"""Writes slower than this are counted as slow, in seconds: etcd's default of --warning-apply-duration."""
KEPT: Final = 256
"""Number of the last groups that are kept, to be looked up one by one."""


class GroupTimeline:
    """The way of one group commit: moments of the monotonic clock in seconds, each set when it comes."""

    __slots__ = (
        "applied",
        "encoded",
        "evaluated",
        "received",
        "replied",
        "revisions",
        "sealed",
        "submitted",
        "syncing",
        "taken",
        "woken",
        "writes",
        "written",
    )

    def __init__(self) -> None:
        self.writes = 0

    received: float
    """The read of the connection that brought the first write."""
    submitted: float
    """The first write reached the backend."""
    evaluated: float
    """The first write was evaluated."""
    sealed: float
    """The batch was closed: no more writes join."""
    encoded: float
    """The batch has its bytes and its place in the log."""
    taken: float
    """The writer thread took it."""
    written: float
    """Time when the group was durable."""
    syncing: float
    """Seconds between `taken` and `written` that were spent in fdatasync."""
    woken: float
    """The event loop has it again."""
    applied: float
    """Readers and watchers see it."""
    replied: float
    """All its writes are answered."""
    writes: int
    """Number of writes that joined the group."""
    revisions: range
    """The revisions that the group made; none when it only changed leases, users and the like."""

    @property
    def seconds_of_rules(self) -> float:
        """Return the seconds spent in evaluating the writes and showing the changes, without waits and disk."""
        return self.evaluated - self.submitted + self.applied - self.woken

    def seconds(self) -> tuple[float, ...]:
        """Return seconds by stage, in the order of STAGES; their sum is the time from `received` to `replied`."""
        return (
            self.submitted - self.received,
            self.evaluated - self.submitted + self.encoded - self.sealed,
            self.sealed - self.evaluated,
            self.taken - self.encoded + self.woken - self.written,
            self.written - self.taken - self.syncing,
            self.syncing,
            self.applied - self.woken,
            self.replied - self.applied,
        )


class Stages:
    """The stages of the writes of one backend."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self.heard_at = 0.0
        """The time of the read whose requests are being served, in seconds of the clock; 0.0 when none is."""
        self._durations = [Durations(1e-6, BUCKETS) for _ in STAGES]
        self._groups = Durations(1, 14)
        self._commits = Durations(1e-3, 14)
        self._slow = 0
        self._last: deque[GroupTimeline] = deque(maxlen=KEPT)
        self._uncounted = 0
        """The number of groups that are not in the histograms yet, at most KEPT."""

    def heard(self) -> None:
        """Record that a connection was read, whose requests are submitted next."""
        self.heard_at = self._now()

    def served(self) -> None:
        """Record that the requests of the connection have been submitted."""
        self.heard_at = 0.0

    def done(self, path: GroupTimeline, revisions: range) -> None:
        """Record that a group was answered; `revisions` are those that it made."""
        path.replied = self._now()
        path.revisions = revisions
        self._last.append(path)
        self._uncounted += 1
        if self._uncounted == KEPT:
            self._count()

    @property
    def durations(self) -> dict[str, Durations]:
        """Return a histogram per stage, from a microsecond to eight seconds."""
        self._count()
        return dict(zip(STAGES, self._durations, strict=True))

    @property
    def groups(self) -> Durations:
        """Return the histogram of the sizes of groups; its unit is a write."""
        self._count()
        return self._groups

    @property
    def commits(self) -> Durations:
        """Return the histogram of the time that writing and syncing a group took; buckets are powers of two of 1 ms."""
        self._count()
        return self._commits

    @property
    def slow(self) -> int:
        """Return how many writes spent more than SLOW_SECONDS in being evaluated and applied."""
        self._count()
        return self._slow

    def describe(self, revision: int) -> dict[str, object] | None:
        """Return the way of the group that made a revision, for JSON: number of writes, and microseconds by stage."""
        path = self.of(revision)
        if path is None:
            return None
        stages = {name: round(1e6 * seconds, 1) for name, seconds in zip(STAGES, path.seconds(), strict=True)}
        return {"writes": path.writes, "microseconds": stages}

    def of(self, revision: int) -> GroupTimeline | None:
        """Return the way of the group that made a revision; None when it is not among the last KEPT groups."""
        return next((path for path in reversed(self._last) if revision in path.revisions), None)

    def _count(self) -> None:
        """Bring the histograms up to date: some hundred groups at once, which costs half of counting one by one."""
        if not self._uncounted:
            return
        paths = list(islice(self._last, len(self._last) - self._uncounted, None))
        self._uncounted = 0
        writes = [path.writes for path in paths]
        by_stage = zip(*[path.seconds() for path in paths], strict=True)
        for durations, seconds in zip(self._durations, by_stage, strict=True):
            durations.add_all(seconds, writes)
        self._commits.add_all([path.written - path.taken for path in paths], [1] * len(paths))
        self._slow += sum(path.writes for path in paths if path.seconds_of_rules > SLOW_SECONDS)
        self._groups.add_all(writes, [1] * len(writes))
