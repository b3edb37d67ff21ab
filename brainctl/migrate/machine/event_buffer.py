"""Revisions of the change stream that were read and wait to be written."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from brainctl.errors import BrainctlError
from brainctl.migrate.machine.events import RevisionRead

WRITE_EVENTS = 500
"""Revisions are joined for one write up to about this many events."""
WRITE_BYTES = 2 << 20
"""And up to about this size."""
FULL_BYTES = 16 << 20
"""A backlog of this size takes no more until some of it was written."""


class StreamBroken(BrainctlError):
    """The source's change stream left out a revision."""


class Revisions(NamedTuple):
    """What one write takes."""

    events: list[bytes]
    leases: frozenset[int]
    revision: int
    """The last revision among them."""
    reads: tuple[RevisionRead, ...] = ()
    """They themselves."""


class Backlog:
    """A queue of whole revisions, without gaps and without repetitions.

    Every revision of etcd has at least one event, so a stream over all keys has no holes. One that has would lose
    changes, and is not applied.
    """

    def __init__(self, revision: int) -> None:
        self.received = revision
        """The newest revision taken in."""
        self._queue: deque[RevisionRead] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether the reader of the stream should wait."""
        return self._bytes >= FULL_BYTES

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._queue

    def add(self, revisions: Iterable[RevisionRead]) -> None:
        """Take in what follows; what was received before is left out. StreamBroken when a revision is missing."""
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

    def peek(self) -> Revisions | None:
        """The revisions of the next write, None when there are none."""
        if not self._queue:
            return None
        events: list[bytes] = []
        leases: set[int] = set()
        reads = tuple(self._next())
        for read in reads:
            events += read.events
            leases |= read.leases
        return Revisions(events, frozenset(leases), reads[-1].revision, reads)

    def take(self) -> None:
        """The revisions of `peek` are being written: forget them."""
        for read in list(self._next()):
            self._queue.popleft()
            self._bytes -= read.size

    def _next(self) -> Iterator[RevisionRead]:
        events, size = 0, 0
        for read in self._queue:
            if events and (events + len(read.events) > WRITE_EVENTS or size + read.size > WRITE_BYTES):
                return
            events += len(read.events)
            size += read.size
            yield read
