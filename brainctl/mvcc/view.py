r"""What the rules need to read: the durable state of a store, at its newest or an older revision.

`View` is synchronous (the local engine, and whatever was loaded beforehand for one batch); `AsyncView` is the
same over a network (TiKV). Key ranges are half open, `start <= key < end`; `end=None` has no upper bound, and a
single key is the range `(key, key + b"\\0")`. A revision of 0 means the newest. Callers have checked that a
revision is neither compacted nor in the future.
"""

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from brainctl.mvcc.keyversion import KeyVersion


class Selection(NamedTuple):
    """The first live keys of a range, and how many there are in all."""

    parts: list[bytes]
    """Joined, they are the field `kvs` of a RangeResponse, in key order (mvcc/framed.py)."""
    total: int
    """Live keys in the whole range, whatever the limit."""


class Revision(NamedTuple):
    """All changes of one revision, in sub-revision order."""

    main: int
    changes: list[KeyVersion]


class View(Protocol):
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
