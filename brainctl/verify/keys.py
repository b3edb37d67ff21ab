"""The comparison of the keys of two stores at a revision that both have.

Where a store computes state hashes, ranges are compared by these, and only where they differ keys are read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from brainctl.errors import COMPACTED, ApiError
from brainctl.mvcc.state_hash import Part
from brainctl.stores.bounded_gather import gather
from brainctl.verify.diff import Merge
from brainctl.verify.difference import KeyDifference, difference
from brainctl.verify.narrow import joined, narrow
from brainctl.verify.range_hashes import Hashed, PageHashes, RangeHashes
from brainctl.verify.scope import Range, Scope
from brainctl.verify.side import Side

RECHECKS = 5
"""Number of times that differences are looked at again in a live comparison."""
FIRST_PAUSE = 0.2
"""Seconds before the first recheck; each further pause is twice as long."""
RECHECKED_AT_A_TIME = 16
"""Number of keys that are read again at the same time."""

T = TypeVar("T")


@dataclass
class Counts:
    """Counts of what was compared so far."""

    revision: int
    """The revision at which keys are read; a live comparison moves it on."""
    keys: int = 0
    """The keys of the first store."""
    size: int = 0
    """The bytes of the marshalled KeyValues of these keys."""
    hashed: int = 0
    """Number of these keys that were compared by hashes."""
    gone: int = 0
    """Differences that were gone in a recheck."""
    place: bytes = b""
    """Key below which all are compared; empty before the first and after the last one."""


class _Hashes(NamedTuple):
    """The side that cuts ranges into parts, and the one that hashes the same parts."""

    lead: RangeHashes
    follow: RangeHashes


class KeyComparison:
    """Compares keys, and counts them in `counts`."""

    def __init__(
        self,
        expected: Side,
        found: Side,
        common_revision: Callable[[], Awaitable[int]],
        counts: Counts,
        scope: Scope,
        *,
        live: bool,
    ) -> None:
        """Create the comparison.

        Args:
            expected: The first store.
            found: The second store.
            common_revision: Reads the newest revision that both have.
            counts: Is kept up to date.
            scope: The keys that are compared.
            live: Recheck differences, and move on when a revision is compacted.
        """
        self._expected = expected
        self._found = found
        self._common_revision = common_revision
        self._counts = counts
        self._scope = scope
        self._live = live
        self.on_progress: Callable[[int], None] = lambda _keys: None
        """Called now and then with the number of keys compared so far."""
        self.pace: Callable[[int], Awaitable[None]] = _at_once
        """Is awaited with the number of bytes that were read or hashed on the first side since the last time."""

    async def differences(self) -> AsyncIterator[list[KeyDifference]]:
        """Yield the differences, a list at a time, in key order."""
        hashes = await self._hashes()
        for start, end in _from(self._scope.ranges(), self._counts.place):
            ways = self._merged(start, end) if hashes is None else self._narrowed(hashes, start, end)
            async for found in ways:
                yield found

    async def _narrowed(self, hashes: _Hashes, start: bytes, end: bytes) -> AsyncIterator[list[KeyDifference]]:
        """Compare a range by hashes, read where these differ, and yield the differences."""
        counts = self._counts
        async for span in joined(narrow(partial(self._both, hashes), start, end)):
            if span.equal:
                counts.keys += span.keys
                counts.hashed += span.keys
                counts.size += span.size
                self.on_progress(counts.keys)
                await self.pace(span.size)
                counts.place = span.end
                yield []
            else:
                async for found in self._merged(span.start, span.end):
                    yield found

    async def _hashes(self) -> _Hashes | None:
        """Return how hashes are compared; None when neither store computes any.

        A store that computes none is read, and leads: it is read in its order then.
        """
        expected, found = await asyncio.gather(self._expected.hashes(), self._found.hashes())
        if expected is None and found is None:
            return None
        if found is None:
            assert expected is not None
            return _Hashes(PageHashes(self._found.leaves), expected)
        return _Hashes(expected or PageHashes(self._expected.leaves), found)

    async def _both(self, hashes: _Hashes, start: bytes, end: bytes, keys: int) -> tuple[Hashed, list[Part]]:
        """Return the next parts of a range on both sides, at one revision."""

        async def ask(revision: int) -> tuple[Hashed, list[Part]]:
            cut = await hashes.lead.cut(start, end, revision, keys)
            return cut, await hashes.follow.follow(start, cut.parts, revision)

        return await self._reading(ask)

    async def _merged(self, start: bytes, end: bytes) -> AsyncIterator[list[KeyDifference]]:
        """Read the keys of a range on both sides, page by page, and yield the differences."""
        merge, counts = Merge(start, end), self._counts
        before = counts.keys, counts.size - self._expected.read_bytes
        while not merge.complete:
            await self._read(merge)
            found = list(merge.differences())
            if found and self._live:
                seen = len(found)
                found = await self._surviving(found)
                counts.gone += seen - len(found)
            so_far = counts.size
            counts.keys = before[0] + merge.compared
            counts.size = before[1] + self._expected.read_bytes
            self.on_progress(counts.keys)
            await self.pace(counts.size - so_far)
            counts.place = end if merge.low is None else merge.low
            yield found

    async def _read(self, merge: Merge) -> None:
        """Read the next page of each side that needs one."""
        readers = {id(merge.expected): self._expected, id(merge.found): self._found}
        wanted = merge.wanted()
        pages = await self._reading(
            lambda revision: asyncio.gather(
                *(readers[id(side)].page(start, end, revision) for side, start, end in wanted)
            )
        )
        for want, page in zip(wanted, pages, strict=True):
            want.side.add(page)

    async def _reading(self, read: Callable[[int], Awaitable[T]]) -> T:
        """Read at the revision; a live comparison moves to a newer common revision when that is compacted."""
        for _ in range(RECHECKS if self._live else 0):
            try:
                return await read(self._counts.revision)
            except ApiError as error:
                if error.status != COMPACTED:
                    raise
                self._counts.revision = await self._common_revision()
        return await read(self._counts.revision)

    async def _surviving(self, found: list[KeyDifference]) -> list[KeyDifference]:
        """Return the differences that are still there at later common revisions."""
        pause = FIRST_PAUSE
        for _ in range(RECHECKS):
            if not found:
                break
            await asyncio.sleep(pause)
            pause *= 2
            revision = self._counts.revision = await self._common_revision()
            keys = [entry.key for entry in found]
            try:
                again = await self._recheck(keys, revision)
            except ApiError as error:
                if error.status != COMPACTED:
                    raise
                continue
            found = [entry for entry in again if entry is not None]
        return found

    async def _recheck(self, keys: list[bytes], revision: int) -> list[KeyDifference | None]:
        """Read keys again at a revision, and return for each its difference, None for none."""

        async def one(key: bytes) -> KeyDifference | None:
            expected, found = await asyncio.gather(self._expected.key(key, revision), self._found.key(key, revision))
            return difference(key, expected, found)

        return await gather(one, keys, RECHECKED_AT_A_TIME)


def _from(ranges: list[Range], place: bytes) -> list[Range]:
    """Return what is left of ranges behind a key."""
    return [(max(start, place), end) for start, end in ranges if not end or end > place]


async def _at_once(_size: int) -> None:
    """Go on without a pause."""
