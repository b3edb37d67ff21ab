"""Revisions of the change stream that were read and wait to be written."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from brainctl.errors import BrainctlError
from brainctl.migrate.machine.events import RevisionRead

WRITE_EVENTS = 500
"""Revisions are joined for one write up to about this many events."""
WRITE_BYTES = 2 << 20
"""Revisions are joined for one write up to about this many bytes."""
FULL_BYTES = 16 << 20
"""From this many bytes on, the reader of the stream waits until some of them were written."""


class StreamBroken(BrainctlError):
    """The source's change stream left out a revision."""


class Revisions(NamedTuple):
    """The revisions that one write takes."""

    events: list[bytes]
    leases: frozenset[int]
    revision: int
    """The last of these revisions."""
    reads: tuple[RevisionRead, ...] = ()
    """The revisions themselves."""


class Backlog:
    """A queue of whole revisions, without gaps and without repetitions.

    Every revision of etcd has at least one event, so a stream over all keys has no gaps. A stream with a gap would lose
    changes, and is not applied.
    """

    def __init__(self, revision: int) -> None:
        self.received = revision
        """The newest revision that was added."""
        self._queue: deque[RevisionRead] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Return whether the reader of the stream should wait."""
        return self._bytes >= FULL_BYTES

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to write."""
        return not self._queue

    def add(self, revisions: Iterable[RevisionRead]) -> None:
        """Append revisions; those that were added before are skipped.

        Raises:
            StreamBroken: A revision is missing.
        """
        for read in revisions:
            if read.revision <= self.received:
                continue
            if read.events and read.revision != self.received + 1:
                raise StreamBroken(
                    f"the change stream of the source went from revision {self.received} to {read.revision}; "
                    "nothing after the gap was applied"
                )
            self.received = read.revision
            self._queue.append(read)
            self._bytes += read.size

    def peek(self, last: int | None = None) -> Revisions | None:
        """Return the revisions of the next write, up to `last` if that is given; None when there are none."""
        reads = tuple(self._next(last))
        if not reads:
            return None
        events: list[bytes] = []
        leases: set[int] = set()
        for read in reads:
            events += read.events
            leases |= read.leases
        return Revisions(events, frozenset(leases), reads[-1].revision, reads)

    def discard(self, taken: Revisions) -> None:
        """Remove the revisions that `peek` has returned, which are now being written."""
        for read in taken.reads:
            self._queue.popleft()
            self._bytes -= read.size

    def _next(self, last: int | None) -> Iterator[RevisionRead]:
        """Yield the revisions of the next write: the first, and more while they fit WRITE_EVENTS and WRITE_BYTES."""
        events, size = 0, 0
        for read in self._queue:
            if last is not None and read.revision > last:
                return
            if events and (events + len(read.events) > WRITE_EVENTS or size + read.size > WRITE_BYTES):
                return
            events += len(read.events)
            size += read.size
            yield read
