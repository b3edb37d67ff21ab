"""Load the part of a store's state that one group commit needs, for a synchronous `View`.

What a group reads is known from its requests (`footprint`), except for keys that only the evaluation names, such as
those of a revoked lease, and for what a range with a limit must read beyond it because an earlier write of the group
has deleted keys. A read of something that is not loaded answers as if it did not exist and is noted in `missing`; the
group is then loaded with it and evaluated anew.

Of a range with a limit only its first keys are loaded, and the number of all is counted as for any other read. That is
as safe as to load all of it: a commit is not checked against what it has read, but against the head, which every commit
moves (`leadership`).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.ranges import Count
from brainctl.mvcc.read_set import First, Read
from brainctl.mvcc.steps import STEP_KEYS, Steps, in_pieces, release
from brainctl.mvcc.view import Revision, Selection
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Stored

FIRST_KEYS = 4 * STEP_KEYS
"""Keys to load at least of a range that was not known to be read so far."""

Span = tuple[bytes, bytes | None, int]
"""Start and end of a range, and a revision, 0 being the newest."""


class _Loaded:
    """The live versions of a range that are loaded: the first ones, in key order."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.stored: list[Stored] = []
        self.complete = False
        """True when all live versions of the range are loaded."""

    def enough(self, limit: int) -> bool:
        """Return whether the first `limit` versions are there, or all when that is 0."""
        return self.complete or 0 < limit <= len(self.keys)


class _Part(NamedTuple):
    """Versions of a range within what was loaded of it, or of a larger one."""

    of: _Loaded
    first: int
    after: int

    def kvs(self, limit: int) -> list[bytes]:
        """Return the marshalled KeyValues, at most `limit` when that is not 0."""
        after = min(self.after, self.first + limit) if limit else self.after
        return [stored.kv for stored in self.of.stored[self.first : after]]

    def pieces(self) -> Iterator[list[KeyVersion]]:
        """Yield the versions in lists of about a step: to unpack one takes longer than to read it elsewhere."""
        size = STEP_KEYS // 2
        for at in range(self.first, self.after, size):
            yield [stored.version() for stored in self.of.stored[at : min(at + size, self.after)]]


class PrefetchedView:
    """A `View` of the newest versions of some ranges, and of older states of some."""

    remote: Literal[False] = False

    def __init__(self, source: StateView) -> None:
        self.source = source
        self.newest: dict[bytes, Stored] = {}
        """The newest stored version, live or a tombstone, of each key that a write may change and that has one."""
        self.missing: set[Read] = set()
        """Reads of the evaluation that found nothing loaded."""
        self._single: set[bytes] = set()
        self._ranges: dict[Span, _Loaded] = {}
        self._counted: dict[Span, int] = {}

    async def load(self, reads: Iterable[Read]) -> None:
        """Load what some reads need, as far as it can be read: the evaluation refuses the others.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        ranges: dict[Span, int] = {}
        counts: list[Span] = []
        for some in in_pieces(list(reads), STEP_KEYS // 2):
            singles = self._sorted_out(some, ranges, counts)
            if singles:
                self.newest |= await self.source.newest(singles)
                self._single.update(singles)
        # Those of which all is needed come first, since they may contain others.
        for span, limit in sorted(ranges.items(), key=lambda item: item[1]):
            await self._load_range(span, limit)
        for span in counts:
            if span not in self._counted and not self._is_whole(*span):
                self._counted[span] = await self.source.count(*span)

    def _sorted_out(self, reads: list[Read], ranges: dict[Span, int], counts: list[Span]) -> list[bytes]:
        """Return the single keys of some reads; add the others to `ranges`, each with a limit, and `counts`."""
        singles: list[bytes] = []
        for read in reads:
            span = self._span(read.start, read.end, read.revision)
            if not self.compacted <= (span[2] or self.revision) <= self.revision:
                continue
            if isinstance(read, Count):
                counts.append(span)
            elif read.is_key:
                singles.append(read.start)
            else:
                other = ranges.get(span, read.limit)
                ranges[span] = max(read.limit, other) if read.limit and other else 0
        return singles

    async def _load_range(self, span: Span, limit: int) -> None:
        """Load versions of a range until its first `limit` are there, or all when that is 0."""
        start, end, revision = span
        loaded = self._ranges.setdefault(span, _Loaded())
        if loaded.enough(limit) or self._is_whole(*span):
            return
        if loaded.keys:
            start = loaded.keys[-1] + b"\0"
        async for page in self.source.pages(start, end, revision, limit - len(loaded.keys) if limit else 0):
            loaded.keys += [key for key, _ in page]
            loaded.stored += [stored for _, stored in page]
            if not revision:
                self.newest.update(page)
            if loaded.enough(limit):
                return
        loaded.complete = True

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
            if key not in self._single and not self._is_whole(key, key + b"\0", 0):
                self.missing.add(First(key, key + b"\0"))
            return None
        return stored.version() if stored.live else None

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        """See `View`."""
        for piece in self.stretches(start, end, revision):
            yield from piece

    def stretches(self, start: bytes, end: bytes | None, revision: int) -> Iterator[list[KeyVersion]]:
        """See `Ranges.stretches`."""
        span = self._span(start, end, revision)
        if First(*span).is_key:
            version = self.get(start)
            yield [] if version is None else [version]
            return
        part = self._part(*span)
        if part is not None:
            yield from part.pieces()
        if part is None or not part.of.complete:
            self.missing.add(First(*span, max(FIRST_KEYS, 0 if part is None else 4 * part.after)))

    def select_steps(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        """See `Ranges.select_steps`."""
        selection = self.select(start, end, revision, limit)
        yield 1 + len(selection.parts)
        return selection

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """See `View`."""
        span = self._span(start, end, revision)
        if First(*span).is_key:
            version = self.get(start)
            return Selection([] if version is None else framed([version.kv]), int(version is not None))
        part = self._part(*span)
        if part is None or not part.of.enough(limit + 1 if limit else 0):
            self.missing.add(First(*span, limit + 1 if limit else 0))
            return Selection([], 0)
        return Selection(framed(part.kvs(limit)), self.count(*span))

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """See `View`."""
        span = self._span(start, end, revision)
        if First(*span).is_key:
            return int(self.get(start) is not None)
        part = self._part(*span)
        if part is not None and part.of.complete:
            return part.after - part.first
        counted = self._counted.get(span)
        if counted is None:
            self.missing.add(Count(*span))
            return 0
        return counted

    def release(self) -> Steps[None]:
        """Forget, in steps, what is loaded."""
        self.newest.clear()
        for loaded in self._ranges.values():
            yield from release(loaded.keys)
            yield from release(loaded.stored)

    def weight(self, start: bytes, end: bytes | None) -> int:
        """Return how many versions of a range, at the newest revision, are loaded."""
        part = self._part(start, end, 0)
        return 1 if part is None else part.after - part.first

    def count_steps(self, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        """See `Ranges.count_steps`: there is one."""
        yield 1
        return self.count(start, end, revision)

    def history(self, first: int, last: int) -> Iterator[Revision]:
        """Refuse: no write needs the history."""
        raise NotImplementedError(first, last)

    def history_pieces(self, first: int, last: int) -> Iterator[list[KeyVersion]]:
        """Refuse, as `history`."""
        raise NotImplementedError(first, last)

    def leased(self) -> None:
        """See `View.leased`: it is not known which keys have leases."""

    def _span(self, start: bytes, end: bytes | None, revision: int) -> Span:
        """Return a range with its revision, 0 also where the newest one is named by its number."""
        return start, end, 0 if revision == self.revision else revision

    def _part(self, start: bytes, end: bytes | None, revision: int) -> _Part | None:
        """Return what is loaded of a range, from its start on; None when nothing is."""
        exact = self._ranges.get((start, end, revision))
        if exact is not None and (exact.complete or exact.keys):
            return _Part(exact, 0, len(exact.keys))
        for (low, high, at), loaded in self._ranges.items():
            inside = low <= start and (high is None or (end is not None and end <= high))
            if inside and at == revision and loaded.complete:
                keys = loaded.keys
                return _Part(loaded, bisect_left(keys, start), len(keys) if end is None else bisect_left(keys, end))
        return None

    def _is_whole(self, start: bytes, end: bytes | None, revision: int) -> bool:
        part = self._part(start, end, revision)
        return part is not None and part.of.complete
