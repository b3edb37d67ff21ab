"""Load the part of a store's state that one group commit needs, for a synchronous `View`.

What a group reads is known from its requests (`footprint`), except for reads of older revisions and of keys that only
the evaluation names, such as those of a revoked lease. A read of something that is not loaded answers as if it did not
exist and is noted in `missing`; the group is then loaded with it and evaluated anew.
"""

from bisect import bisect_left
from collections.abc import Iterator

from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.read_set import Range
from brainctl.mvcc.view import Revision, Selection, Whole
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Stored

Wanted = tuple[bytes, bytes | None, int]
"""Start and end of a range, and a revision, 0 being the newest."""


class PrefetchedView(Whole):
    """A `View` of the newest versions of some ranges, and of older states of some."""

    def __init__(self, source: StateView) -> None:
        self.source = source
        self.newest: dict[bytes, Stored] = {}
        """The newest stored version, live or a tombstone, of each loaded key that has one."""
        self.missing: set[Wanted] = set()
        """Keys that the evaluation has read and that were not loaded."""
        self._keys: list[bytes] = []
        self._single: set[bytes] = set()
        self._ranges: set[Range] = set()
        self._older: dict[Wanted, list[KeyVersion]] = {}

    async def load(self, wanted: set[Wanted]) -> None:
        """Load ranges.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        singles = [start for start, end, revision in wanted if not revision and end == start + b"\0"]
        if singles:
            self.newest |= await self.source.newest(singles)
            self._single.update(singles)
        for start, end, revision in wanted:
            if revision:
                versions = [version async for version in self.source.versions(start, end, revision)]
                self._older[start, end, revision] = versions
            elif end != start + b"\0":
                self.newest |= await self.source.newest_in(start, end)
                self._ranges.add((start, end))
        self._keys = sorted(key for key, stored in self.newest.items() if stored.live)

    async def load_missing(self) -> None:
        """Load what the evaluation so far did not find loaded.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        missing, self.missing = self.missing, set()
        await self.load(missing)

    @property
    def revision(self) -> int:
        """See `View`."""
        return self.source.revision

    @property
    def compacted(self) -> int:
        """See `View`."""
        return self.source.compacted

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """See `View`."""
        if 0 < revision < self.revision:
            return next(self.versions(key, key + b"\0", revision), None)
        stored = self.newest.get(key)
        if stored is None:
            if key not in self._single and not self._covers(key, key + b"\0"):
                self.missing.add((key, key + b"\0", 0))
            return None
        return stored.version() if stored.live else None

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        """See `View`."""
        if 0 < revision < self.revision:
            older = self._older.get((start, end, revision))
            if older is None:
                self.missing.add((start, end, revision))
            yield from older or ()
            return
        if end == start + b"\0":
            version = self.get(start)
            if version is not None:
                yield version
            return
        if not self._covers(start, end):
            self.missing.add((start, end, 0))
        keys = self._keys
        for at in range(bisect_left(keys, start), len(keys) if end is None else bisect_left(keys, end)):
            yield self.newest[keys[at]].version()

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """See `View`."""
        kvs = [version.kv for version in self.versions(start, end, revision)]
        return Selection(framed(kvs[:limit] if limit else kvs), len(kvs))

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """See `View`."""
        return sum(1 for _ in self.versions(start, end, revision))

    def history(self, first: int, last: int) -> Iterator[Revision]:
        """Refuse: no write needs the history."""
        raise NotImplementedError(first, last)

    def _covers(self, start: bytes, end: bytes | None) -> bool:
        return any(low <= start and (high is None or (end is not None and end <= high)) for low, high in self._ranges)
