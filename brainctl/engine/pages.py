"""Ranges that were lately listed, as they were answered: what a list at the newest revision is joined of.

A page stands for all live keys between two bounds, and holds their KeyValues as a response has them. Pages do not
overlap. A change of a key drops the page in whose bounds it lies, and the next list fills the gap again; so what a list
costs is the copying of its bytes, and the reading of what has changed around.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import attrgetter

from brainctl.mvcc.framed import cut, framed

Read = Callable[[bytes, bytes | None, int], tuple[list[bytes], list[bytes]]]
"""The first so many live keys of a range (0: all), and their marshalled KeyValues."""
_KEYS = 128
_BYTES = 64 << 10
"""A page is full with so many keys, or with the key that brings it to so many bytes."""
_READ = 4096
"""Keys that are read at a time."""
_FEW = 32
"""A list of fewer keys than this leaves no page behind."""
_OVERHEAD = 4096
"""What a page counts for beside its bytes, so that there are never very many."""


class Page:
    """The live keys of `start <= key < end`."""

    __slots__ = ("count", "data", "end", "start", "used")

    def __init__(self, start: bytes, end: bytes | None, data: bytes, count: int) -> None:
        self.start = start
        self.end = end
        """None: no bound."""
        self.data = data
        self.count = count
        self.used = 0
        """The number of the list that has asked for it last."""

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.data) + len(self.start) + _OVERHEAD


class Pages:
    """Pages in about `budget` bytes of memory."""

    def __init__(self, budget: int, read: Read) -> None:
        self._budget = budget
        self._read = read
        self._starts: list[bytes] = []
        self._pages: list[Page] = []
        self._size = 0
        self._lists = 0

    def __len__(self) -> int:
        """How many pages there are."""
        return len(self._pages)

    def select(self, start: bytes, end: bytes | None, limit: int) -> tuple[list[bytes], int]:
        """The parts (mvcc/framed.py) of the first `limit` (0: all) live keys of a range, and how many these are."""
        self._lists += 1
        parts: list[bytes] = []
        count = 0
        at: bytes | None = start
        while at is not None and not (limit and count >= limit) and _before(at, end):
            left = limit - count if limit else 0
            number = bisect_right(self._starts, at)
            page = self._pages[number - 1] if number else None
            if page is None or not _before(at, page.end):
                following = self._starts[number] if number < len(self._starts) else None
                at, found = self._fill(at, _least(following, end), left, parts)
                count += found
                continue
            page.used = self._lists
            if at == page.start and not _before(end, page.end) and not 0 < left < page.count:
                part, found = page.data, page.count
            else:
                part, found = cut(page.data, at, end, left)
            if found:
                parts.append(part)
                count += found
            at = page.end
        return parts, count

    def drop(self, key: bytes) -> None:
        """A key has changed."""
        number = bisect_right(self._starts, key) - 1
        if number >= 0 and _before(key, self._pages[number].end):
            self._size -= self._pages[number].size
            del self._starts[number], self._pages[number]

    def _fill(self, start: bytes, end: bytes | None, limit: int, parts: list[bytes]) -> tuple[bytes | None, int]:
        """Read the first `limit` keys of a gap, or some of them, and keep them; up to where, and how many they were."""
        wanted = min(limit or _READ, _READ)
        keys, kvs = self._read(start, end, wanted)
        upto = keys[-1] + b"\0" if len(keys) >= wanted else end
        if wanted < _FEW:
            parts += framed(kvs)
            return upto, len(keys)
        pages = self._paged(start, upto, keys, kvs)
        for page in pages:
            page.used = self._lists
        parts += [page.data for page in pages if page.count]
        size = sum(page.size for page in pages)
        if self._size + size > self._budget:
            self._evict(size)
        if self._size + size <= self._budget:
            number = bisect_left(self._starts, start)
            self._pages[number:number] = pages
            self._starts[number:number] = [page.start for page in pages]
            self._size += size
        return upto, len(keys)

    def _paged(self, start: bytes, end: bytes | None, keys: list[bytes], kvs: list[bytes]) -> list[Page]:
        """Pages of about one size for the keys of a range."""
        pieces = max(-(-len(kvs) // _KEYS), -(-sum(map(len, kvs)) // _BYTES), 1)
        step = -(-len(kvs) // pieces) or 1
        groups = [kvs[at : at + step] for at in range(0, len(kvs), step)] or [[]]
        starts = [start, *keys[step::step]]
        return [
            Page(low, high, b"".join(framed(group)), len(group))
            for low, high, group in zip(starts, [*starts[1:], end], groups, strict=True)
        ]

    def _evict(self, size: int) -> None:
        """Make room, from what was not asked for longest; this list's own pages stay."""
        room = self._budget * 7 // 8 - size
        dropped = set()
        for page in sorted(self._pages, key=attrgetter("used")):
            if self._size <= room or page.used == self._lists:
                break
            self._size -= page.size
            dropped.add(page.start)
        self._pages = [page for page in self._pages if page.start not in dropped]
        self._starts = [page.start for page in self._pages]


def _before(key: bytes | None, bound: bytes | None) -> bool:
    """Whether a bound comes before another; None is behind all."""
    return key is not None and (bound is None or key < bound)


def _least(one: bytes | None, other: bytes | None) -> bytes | None:
    return other if one is None or (other is not None and other < one) else one
