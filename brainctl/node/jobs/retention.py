"""The history that automatic compaction keeps: --auto-compaction-mode (etcd server/etcdserver/api/v3compactor).

The compactor asks a retention from time to time at which revision to compact, and calls `done` when that succeeded.

Example: `KeepPeriod(3600)` looks every 6 minutes and notes the newest revision each time. When an hour has passed, it
compacts at the oldest of its notes (up to 11), the revision of an hour ago; the next compaction is due an hour later.
`KeepRevisions(1000)` looks every 5 minutes; at revision 5200 it compacts at 4200.
"""

from collections import deque
from typing import Protocol

HOUR = 3600.0
"""Seconds of the longest time between two compactions of `KeepPeriod`."""
REVISION_INTERVAL_SECONDS = 300.0
"""Seconds between two looks of `KeepRevisions`, as in etcd."""
_STEPS = 10
"""Number of revisions that are noted per hour, or per period when that is shorter."""
_ROUNDING = 1e-9
"""Added before a quotient of floats is cut to an integer: 0.3 / 0.1 is 2.9999999999999996."""


class Retention(Protocol):
    """Decides when to compact at which revision. Times are those of a monotonic clock, in seconds."""

    @property
    def interval(self) -> float:
        """Return how often to ask, in seconds."""

    def start(self, now: float, revision: int) -> None:
        """Begin with `revision` as the newest, and forget what was recorded before."""

    def due(self, now: float, revision: int) -> int:
        """Return the revision to compact at; 0 for none."""

    def done(self, now: float, revision: int) -> None:
        """Record that the store was compacted at a revision."""

    def record_interval(self, revision: int) -> None:
        """Record `revision` as the newest at the end of an interval."""


class KeepPeriod:
    """Keeps the history of the last `seconds`: compacts once per hour, or once per period when that is shorter."""

    def __init__(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds = seconds
        self.interval = min(seconds, HOUR) / _STEPS
        self._revisions: deque[int] = deque(maxlen=int(seconds / self.interval + _ROUNDING) + 1)
        """The newest revision at the end of each of the last intervals, oldest first."""
        self._pause = seconds
        """Seconds between the last compaction and the next one."""
        self._last_done = 0
        self._last_time = 0.0

    def start(self, now: float, revision: int) -> None:
        """See `Retention.start`. The first compaction comes a whole period later."""
        self._revisions.clear()
        self._revisions.append(revision)
        self._pause = self.seconds
        self._last_done = 0
        self._last_time = now

    def due(self, now: float, revision: int) -> int:
        """See `Retention.due`: the revision of a period ago."""
        del revision
        oldest = self._revisions[0]
        if now - self._last_time < self._pause or oldest == self._last_done:
            return 0
        self._pause = min(self.seconds, HOUR)
        return oldest

    def done(self, now: float, revision: int) -> None:
        """See `Retention.done`."""
        self._last_time = now
        self._last_done = revision

    def record_interval(self, revision: int) -> None:
        """See `Retention.record_interval`."""
        self._revisions.append(revision)


class KeepRevisions:
    """Keeps the newest `count` revisions; looks every five minutes."""

    interval = REVISION_INTERVAL_SECONDS

    def __init__(self, count: int) -> None:
        assert count > 0
        self.count = count
        self._last_done = 0

    def start(self, now: float, revision: int) -> None:
        """See `Retention.start`."""
        del now, revision
        self._last_done = 0

    def due(self, now: float, revision: int) -> int:
        """See `Retention.due`: the newest revision less `count`."""
        del now
        wanted = revision - self.count
        return wanted if wanted > 0 and wanted != self._last_done else 0

    def done(self, now: float, revision: int) -> None:
        """See `Retention.done`."""
        del now
        self._last_done = revision

    def record_interval(self, revision: int) -> None:
        """See `Retention.record_interval`. Nothing is noted."""
