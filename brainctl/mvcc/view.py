r"""What the rules need to read: the durable state of a store, at its newest or an older revision.

`View` is synchronous (the local engine, and whatever was loaded beforehand for one batch); `AsyncView` is the
same over a network (TiKV). Key ranges are half open, `start <= key < end`; `end=None` has no upper bound, and a
single key is the range `(key, key + b"\\0")`. A revision of 0 means the newest. Callers have checked that a
revision is neither compacted nor in the future.
"""

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import Steps


class Selection(NamedTuple):
    """The first live keys of a range, and how many there are in all."""

    parts: list[bytes]
    """Joined, they are the field `kvs` of a RangeResponse, in key order (mvcc/range_response_kvs.py)."""
    total: int
    """Live keys in the whole range, whatever the limit."""


class Revision(NamedTuple):
    """All changes of one revision, in sub-revision order."""

    main: int
    changes: list[KeyVersion]


class Ranges(Protocol):
    """What is read of ranges, in steps: the answer is that of the revision, whatever is written in between."""

    def stretches(self, start: bytes, end: bytes | None, revision: int) -> Iterator[list[KeyVersion]]:
        """The live versions of a range at `revision`, in key order, cut into stretches that each cost about one step;
        some may be empty.
        """

    def select_steps(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        """The live keys of a range at `revision`; at most `limit` of them when that is not 0."""

    def count_steps(self, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        """How many keys of a range are live at `revision`."""


class View(Ranges, Protocol):
    """The durable state of a store, read without waiting."""

    @property
    def revision(self) -> int:
        """The newest durable revision; 1 in a store that was never written."""

    @property
    def compacted(self) -> int:
        """The revision of the last compaction: the oldest that can be read. -1 or 0 before the first."""

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """The live version of `key` at `revision`, None when there is none."""

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """The live keys of a range at `revision`; at most `limit` of them when that is not 0."""

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """How many keys of a range are live at `revision`."""

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        """The live versions of a range at `revision`, in key order."""

    def history(self, first: int, last: int) -> Iterator[Revision]:
        """The revisions `first <= revision <= last` that changed something, oldest first."""

    def history_pieces(self, first: int, last: int) -> Iterator[list[KeyVersion]]:
        """The changes of the same, in order, cut into pieces that each cost about one step."""


class Whole:
    """The steps of a View that has everything in memory: one each."""

    def stretches(self: View, start: bytes, end: bytes | None, revision: int) -> Iterator[list[KeyVersion]]:
        """See Ranges."""
        yield list(self.versions(start, end, revision))

    def select_steps(self: View, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        """See Ranges."""
        yield 1
        return self.select(start, end, revision, limit)

    def count_steps(self: View, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        """See Ranges."""
        yield 1
        return self.count(start, end, revision)

    def history_pieces(self: View, first: int, last: int) -> Iterator[list[KeyVersion]]:
        """See View."""
        for revision in self.history(first, last):
            yield revision.changes


class Pinned:
    """A View at the revision that it had when this was made, whatever is written meanwhile."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.revision = view.revision
        self.compacted = view.compacted
        self.history, self.history_pieces = view.history, view.history_pieces

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """See View."""
        return self._view.get(key, revision or self.revision)

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """See View."""
        return self._view.select(start, end, revision or self.revision, limit)

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """See View."""
        return self._view.count(start, end, revision or self.revision)

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        """See View."""
        return self._view.versions(start, end, revision or self.revision)

    def stretches(self, start: bytes, end: bytes | None, revision: int) -> Iterator[list[KeyVersion]]:
        """See Ranges."""
        return self._view.stretches(start, end, revision or self.revision)

    def select_steps(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        """See Ranges."""
        return self._view.select_steps(start, end, revision or self.revision, limit)

    def count_steps(self, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        """See Ranges."""
        return self._view.count_steps(start, end, revision or self.revision)


@runtime_checkable
class KnowsLeased(Protocol):
    """A View that finds the keys with leases without reading the others."""

    def leased(self) -> Iterator[KeyVersion]:
        """The live versions that name a lease, at the newest revision, in key order."""


class AsyncView(Protocol):
    """The durable state of a store, read over a network."""

    @property
    def revision(self) -> int:
        """As in View."""

    @property
    def compacted(self) -> int:
        """As in View."""

    async def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """As in View."""

    async def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """As in View."""

    async def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """As in View."""

    def versions(self, start: bytes, end: bytes | None, revision: int) -> AsyncIterator[KeyVersion]:
        """As in View."""

    def history(self, first: int, last: int) -> AsyncIterator[Revision]:
        """As in View."""
