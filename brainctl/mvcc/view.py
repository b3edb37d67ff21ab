r"""The interface by which the rules read the durable state of a store, at its newest or an older revision.

`View` is synchronous (the local engine, and whatever was loaded beforehand for one batch); `AsyncView` is the same
over a network (TiKV). Key ranges are half open, `start <= key < end`; `end=None` has no upper bound, and a single key
is the range `(key, key + b"\0")`. A revision of 0 means the newest. Callers have checked that a revision is neither
compacted nor in the future.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import Steps


class Selection(NamedTuple):
    """The first live keys of a range, and the number of live keys in the whole range."""

    parts: list[bytes]
    """Joined, they are the field `kvs` of a RangeResponse, in key order (mvcc/range_response_kvs.py)."""
    total: int
    """Live keys in the whole range, whatever the limit."""


class Revision(NamedTuple):
    """All changes of one revision, in sub-revision order."""

    main: int
    changes: list[KeyVersion]


class Ranges(Protocol):
    """Reads of ranges in steps. The answer is that of the revision, whatever is written between the steps."""

    def stretches(self, start: bytes, end: bytes | None, revision: int) -> Iterator[list[KeyVersion]]:
        """Yield the live versions of a range at `revision`, in key order, in lists that each cost about one step.

        A list may be empty.
        """

    def select_steps(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        """Return, in steps, the live keys of a range at `revision`; at most `limit` of them when that is not 0."""

    def count_steps(self, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        """Return, in steps, the number of live keys of a range at `revision`."""


class View(Ranges, Protocol):
    """The durable state of a store, read without waiting."""

    remote: Literal[False]
    """Distinguishes it from an `AsyncView`: nothing is awaited."""

    @property
    def revision(self) -> int:
        """Return the newest durable revision; 1 in a store that was never written."""

    @property
    def compacted(self) -> int:
        """Return the revision of the last compaction: the oldest that can be read. -1 or 0 before the first."""

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """Return the live version of `key` at `revision`, None when there is none."""

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """Return the live keys of a range at `revision`; at most `limit` of them when that is not 0."""

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """Return the number of live keys of a range at `revision`."""

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        """Yield the live versions of a range at `revision`, in key order."""

    def history(self, first: int, last: int) -> Iterator[Revision]:
        """Yield the revisions `first <= revision <= last` that changed something, oldest first."""

    def history_pieces(self, first: int, last: int) -> Iterator[list[KeyVersion]]:
        """Yield the changes of `history`, in order, in lists that each cost about one step to read."""

    def leased(self) -> Iterator[KeyVersion] | None:
        """Return the live versions that name a lease, at the newest revision, in key order.

        None when they cannot be found without reading the others.
        """


class Pinned:
    """A View fixed at the revision that the wrapped one had when this was created, whatever is written later."""

    remote: Literal[False] = False

    def __init__(self, view: View) -> None:
        self._view = view
        self.revision = view.revision
        self.compacted = view.compacted
        self.history, self.history_pieces = view.history, view.history_pieces

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """See `View.get`."""
        return self._view.get(key, revision or self.revision)

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """See `View.select`."""
        return self._view.select(start, end, revision or self.revision, limit)

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """See `View.count`."""
        return self._view.count(start, end, revision or self.revision)

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        """See `View.versions`."""
        return self._view.versions(start, end, revision or self.revision)

    def stretches(self, start: bytes, end: bytes | None, revision: int) -> Iterator[list[KeyVersion]]:
        """See `Ranges.stretches`."""
        return self._view.stretches(start, end, revision or self.revision)

    def select_steps(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        """See `Ranges.select_steps`."""
        return self._view.select_steps(start, end, revision or self.revision, limit)

    def count_steps(self, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        """See `Ranges.count_steps`."""
        return self._view.count_steps(start, end, revision or self.revision)

    def leased(self) -> None:
        """See `View.leased`: it would be those of a later revision."""


@runtime_checkable
class ReadsRows(Protocol):
    """View that reads keys as they are stored, which costs half of reading versions."""

    def rows(self, start: bytes, end: bytes | None, revision: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Yield the live keys of a range at `revision` and their marshalled KeyValues, about a step at a time."""


class AsyncView(Protocol):
    """The durable state of a store, read over a network."""

    remote: Literal[True]
    """Distinguishes it from a `View`: its reads are awaited."""

    @property
    def revision(self) -> int:
        """See `View.revision`."""

    @property
    def compacted(self) -> int:
        """See `View.compacted`."""

    async def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """See `View.get`."""

    async def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """See `View.select`."""

    async def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """See `View.count`."""

    def versions(self, start: bytes, end: bytes | None, revision: int) -> AsyncIterator[KeyVersion]:
        """See `View.versions`."""

    def history(self, first: int, last: int) -> AsyncIterator[Revision]:
        """See `View.history`."""
