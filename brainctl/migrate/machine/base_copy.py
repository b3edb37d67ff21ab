"""The copy of the base: spans of keys, read ahead in parallel, written in order within each span.

Pages are read as of one revision for as long as the source has it. When it is compacted, what was read of it is
written, and one page is read as of the newest revision, which cannot be refused; the copy goes on at the revision that
the answer has. The caller writes a page when the base in the target has reached the page's revision.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from brainctl.migrate.machine.events import PageCompacted, PageRead, ReadPage
from brainctl.migrate.machine.record import Span

READERS = 4
"""Number of spans that are read at the same time."""
READY_BYTES = 16 << 20
"""When pages of this many bytes are read and not yet written, no further page is requested."""
WRITE_BYTES = 4 << 20
"""Pages are joined for one write up to about this many bytes."""


def spans_of(splits: Sequence[bytes]) -> tuple[Span, ...]:
    """Return the whole key space, cut at `splits`."""
    starts = [b"\0", *splits]
    return tuple(Span(start, end) for start, end in zip(starts, [*starts[1:], b""], strict=True))


class Pages(NamedTuple):
    """The pages that one write takes."""

    kvs: list[bytes]
    size: int
    leases: frozenset[int]
    spans: tuple[Span, ...]
    """Spans that are left to copy once this is written."""


class BaseCopy:
    """Decides which pages to read, which to write, and what is then left."""

    def __init__(self, spans: Iterable[Span], revision: int, attempt: int) -> None:
        self.revision = revision
        """The revision of the pages that were read and not taken; the next ones are read at it too."""
        self._compacted = False
        """Whether the source has compacted that revision."""
        self._attempt = attempt
        self._unwritten = dict(enumerate(spans))
        """Rest of each span that is to be written, by number."""
        self._unread = dict(self._unwritten)
        """Rest of each span that is to be read, by number."""
        self._reading: set[int] = set()
        """The spans of which a page is requested."""
        self._ready: deque[PageRead] = deque()
        """Pages that were read and not taken for writing."""
        self._ready_bytes = 0

    @property
    def complete(self) -> bool:
        """Return whether nothing is left to be taken for writing."""
        return not self._unwritten

    def reads(self) -> list[ReadPage]:
        """Return the pages to request now: at most one per span, so that the pages of a span arrive in order."""
        if self._compacted:
            if self._reading or self._ready or not self._unread:
                return []
            index, span = next(iter(self._unread.items()))
            self._reading.add(index)
            return [ReadPage(self._attempt, index, span.start, span.end, 0)]
        wanted = []
        for index, span in self._unread.items():
            if len(self._reading) >= READERS or self._ready_bytes >= READY_BYTES:
                break
            if index not in self._reading:
                self._reading.add(index)
                wanted.append(ReadPage(self._attempt, index, span.start, span.end, self.revision))
        return wanted

    def add(self, page: PageRead) -> None:
        """Queue a page that was read from the source, to be written later."""
        self._reading.discard(page.span)
        if page.revision != self.revision:
            self.revision, self._compacted = page.revision, False
        self._ready.append(page)
        self._ready_bytes += page.size
        if page.next:
            self._unread[page.span] = Span(page.next, self._unread[page.span].end)
        else:
            del self._unread[page.span]

    def compacted(self, refused: PageCompacted) -> None:
        """Note that a page could not be read because the source has compacted its revision."""
        self._reading.discard(refused.span)
        self._compacted = True

    def peek(self) -> Pages | None:
        """Return the pages of the next write; None when there are none."""
        if not self._ready:
            return None
        kvs: list[bytes] = []
        size, leases, left = 0, frozenset[int](), dict(self._unwritten)
        for page in self._next():
            kvs += page.kvs
            size += page.size
            leases |= page.leases
            _advance(left, page)
        return Pages(kvs, size, leases, tuple(left.values()))

    def discard(self) -> None:
        """Remove the pages of `peek`, which are now being written."""
        for page in list(self._next()):
            self._ready.popleft()
            self._ready_bytes -= page.size
            _advance(self._unwritten, page)

    def _next(self) -> Iterable[PageRead]:
        """Yield the pages of the next write: the first, and more while they fit WRITE_BYTES."""
        size = 0
        for page in self._ready:
            if size and size + page.size > WRITE_BYTES:
                return
            size += page.size
            yield page


def _advance(spans: dict[int, Span], page: PageRead) -> None:
    """Remove the keys of `page` from its span."""
    if page.next:
        spans[page.span] = Span(page.next, spans[page.span].end)
    else:
        del spans[page.span]
