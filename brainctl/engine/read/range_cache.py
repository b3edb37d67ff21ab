"""Ranges that were recently listed, as they were answered: a list at the newest revision is joined from them.

A cached range has all live keys between two bounds, and their KeyValues. Cached ranges do not overlap. A change of a
key changes the cached range in whose bounds it lies, so a list reads from the index and the log only what was not
listed before. A cached range that has not changed from one list to the next also keeps its part of the answer, joined:
then a list costs the copying of its bytes. A cached range that changes often and is not listed is dropped.

A list of 10,000 keys of 512 bytes takes 0.13 ms of CPU from cached ranges, 2.8 ms from the record cache and 8.4 ms
from the segments (docs/internals/engine.md).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.steps import STEP_BYTES, STEP_KEYS

Read = Callable[[bytes, bytes | None, int], tuple[list[bytes], list[bytes], bytes | None]]
"""Reads the beginning of a range: `read(start, end, limit)`.

Returns up to `limit` of its first live keys, their marshalled KeyValues, and the bound up to which these are all: the
end of the range, or less.
"""
_KEYS = 128
"""A cached range is made with up to this number of keys, and may grow to twice as many."""
_BYTES = 64 << 10
"""A cached range is made with up to this number of bytes of KeyValues, unless one alone has more."""
_READ = 512
"""Keys that are read at a time."""
_FEW = 32
"""A list of fewer keys than this leaves no cached range behind."""
_CHANGES = 256
"""A cached range is dropped when it has changed more often than this since it was last listed."""
_OVERHEAD = 4096
"""Bytes that a cached range counts for beside its keys, so that there are never very many."""
_ENTRY = 120
"""Bytes that a key and its KeyValue take beside their contents, about."""
_BYTES_PER_KEY = STEP_BYTES // STEP_KEYS
_WHOLE = 4
"""The cost, in keys, of taking a cached range that is joined."""


class Piece(NamedTuple):
    """The beginning of a range, as far as one step reads it."""

    keys: list[bytes]
    """Empty where only the parts of the answer are wanted."""
    kvs: list[bytes]
    """The KeyValues, or the parts that the answer is joined from (mvcc/range_response_kvs.py)."""
    live: int
    """The number of keys."""
    following: bytes | None
    """The key at which the rest begins; None when there is none."""
    cost: int
    """The cost as in mvcc/steps.py, in keys."""


class CachedRange:
    """The live keys of `start <= key < end`, and their KeyValues."""

    __slots__ = ("_joined", "changes", "end", "keys", "kvs", "passed", "size", "start", "used")

    def __init__(self, start: bytes, end: bytes | None, keys: list[bytes], kvs: list[bytes]) -> None:
        self.start = start
        self.end = end
        """None: no bound."""
        self.keys = keys
        self.kvs = kvs
        self.size = _OVERHEAD + sum(map(_cost, keys, kvs))
        """Bytes of memory, about."""
        self.used = 0
        """The number of the list that has asked for it last."""
        self.changes = 0
        """Changes since then."""
        self.passed = 0
        """The cost, in keys, of having found its keys among deleted ones."""
        self._joined: bytes | None = None

    @property
    def cost(self) -> int:
        """Return the cost, in keys, of taking all of it."""
        if self._joined is not None:
            return _WHOLE
        return max(_WHOLE, len(self.keys), self.size // _BYTES_PER_KEY, 0 if self.used else self.passed)

    def parts(self, room: int) -> list[bytes]:
        """Return the parts of the answer for all its keys (mvcc/range_response_kvs.py).

        The cached range may grow by `room` bytes to keep them joined: only if it did not change since the last list.
        """
        if self._joined is None:
            parts = framed(self.kvs)
            if self.changes or not self.used or self.size - _OVERHEAD > room:
                return parts
            self._joined = b"".join(parts)
            self.size += len(self._joined)
        return [self._joined]

    def change(self, key: bytes, kv: bytes | None) -> int:
        """Set the KeyValue of a key (None: it was deleted), and return by how many bytes the cached range grew."""
        keys, kvs = self.keys, self.kvs
        self.changes += 1
        at = bisect_left(keys, key)
        before = 0
        if self._joined is not None:
            before = len(self._joined)
            self._joined = None
        if at < len(keys) and keys[at] == key:
            before += _cost(key, kvs[at])
            if kv is None:
                del keys[at], kvs[at]
            else:
                kvs[at] = kv
        elif kv is not None:
            keys.insert(at, key)
            kvs.insert(at, kv)
        grown = (0 if kv is None else _cost(key, kv)) - before
        self.size += grown
        return grown


class RangeCache:
    """Cached ranges in about `budget` bytes of memory."""

    def __init__(self, budget: int, read: Read) -> None:
        self._budget = budget
        self._read = read
        self._starts: list[bytes] = []
        self._ranges: list[CachedRange] = []
        self._size = 0
        self._lists = 0

    def __len__(self) -> int:
        """Return the number of cached ranges."""
        return len(self._ranges)

    def begin(self) -> int:
        """Return the number of a new list."""
        self._lists += 1
        return self._lists

    def parts(self, number: int, start: bytes, end: bytes | None, limit: int) -> Piece:
        """Return the parts of the answer for the first live keys of a range, `limit` (0: no bound) of them at most.

        Args:
            number: The list that asks, from `begin`.
            start: The first key.
            end: The range has the keys below it; None has no bound.
            limit: The most keys, 0 for all.
        """
        parts: list[bytes] = []
        count = cost = 0
        for cached, first, last in self._pieces(number, start, end, limit):
            cost += cached.cost
            if last - first == len(cached.keys):
                size = cached.size
                parts += cached.parts(self._budget - self._size)
                self._size += cached.size - size
            else:
                parts += framed(cached.kvs[first:last])
            count += last - first
            self._use(cached, number)
            if cost >= STEP_KEYS:
                return Piece([], parts, count, cached.end if _before(cached.end, end) else None, cost)
        return Piece([], parts, count, None, cost)

    def rows(self, number: int, start: bytes, end: bytes | None, limit: int) -> Piece:
        """Return the keys and KeyValues of the first live keys of a range; arguments as for `parts`."""
        keys: list[bytes] = []
        kvs: list[bytes] = []
        cost = 0
        for cached, first, last in self._pieces(number, start, end, limit):
            cost += cached.cost
            keys += cached.keys[first:last]
            kvs += cached.kvs[first:last]
            self._use(cached, number)
            if cost >= STEP_KEYS:
                return Piece(keys, kvs, len(keys), cached.end if _before(cached.end, end) else None, cost)
        return Piece(keys, kvs, len(keys), None, cost)

    def change(self, key: bytes, kv: bytes | None) -> None:
        """Note that a key has changed: its KeyValue, or None when it was deleted."""
        number = bisect_right(self._starts, key) - 1
        if number < 0 or not _before(key, self._ranges[number].end):
            return
        cached = self._ranges[number]
        self._size += cached.change(key, kv)
        large = len(cached.keys) > 2 * _KEYS or cached.size > _OVERHEAD + 4 * _BYTES or self._size > self._budget
        if large or cached.changes > _CHANGES:
            self._size -= cached.size
            del self._starts[number], self._ranges[number]

    def _use(self, cached: CachedRange, number: int) -> None:
        cached.used = number
        cached.changes = 0

    def _pieces(
        self, number: int, start: bytes, end: bytes | None, limit: int
    ) -> Iterator[tuple[CachedRange, int, int]]:
        """Yield the cached ranges with the first `limit` live keys of a range, and from which key to which."""
        left = limit
        at: bytes | None = start
        while at is not None and _before(at, end):
            place = bisect_right(self._starts, at)
            cached = self._ranges[place - 1] if place else None
            if cached is not None and _before(at, cached.end):
                ranges = [cached]
            else:
                following = self._starts[place] if place < len(self._starts) else None
                ranges = self._fill(number, at, _least(following, end), left)
            for cached in ranges:
                first = bisect_left(cached.keys, start) if start > cached.start else 0
                last = len(cached.keys)
                if end is not None and _before(end, cached.end):
                    last = bisect_left(cached.keys, end)
                if limit:
                    last = min(last, first + left)
                    left -= last - first
                yield cached, first, last
                if limit and not left:
                    return
                at = cached.end

    def _fill(self, number: int, start: bytes, end: bytes | None, limit: int) -> list[CachedRange]:
        """Read the beginning of a gap between cached ranges, keep it as cached ranges, and return these."""
        wanted = min(limit or _READ, _READ)
        keys, kvs, upto = self._read(start, end, wanted)
        ranges = [CachedRange(start, upto, keys, kvs)] if wanted < _FEW else _split(start, upto, keys, kvs)
        if len(keys) < wanted and upto != end:  # the reading ended early because of deleted keys, or of large values
            ranges[0].passed = STEP_KEYS // 4
        if wanted < _FEW:
            return ranges
        size = sum(cached.size for cached in ranges)
        if self._size + size > self._budget:
            self._evict(size, number)
        if self._size + size <= self._budget:
            at = bisect_left(self._starts, start)
            self._ranges[at:at] = ranges
            self._starts[at:at] = [cached.start for cached in ranges]
            self._size += size
        return ranges

    def _evict(self, size: int, number: int) -> None:
        """Drop the least recently listed cached ranges until there is room; those of the list with this number stay."""
        room = self._budget * 7 // 8 - size
        dropped = set()
        for cached in sorted(self._ranges, key=attrgetter("used")):
            if self._size <= room:
                break
            if cached.used != number:
                self._size -= cached.size
                dropped.add(cached.start)
        self._ranges = [cached for cached in self._ranges if cached.start not in dropped]
        self._starts = [cached.start for cached in self._ranges]


def _split(start: bytes, end: bytes | None, keys: list[bytes], kvs: list[bytes]) -> list[CachedRange]:
    """Return ranges of about one size for the keys of a range."""
    pieces = max(-(-len(kvs) // _KEYS), -(-sum(map(len, kvs)) // _BYTES), 1)
    step = -(-len(kvs) // pieces) or 1
    starts = [start, *keys[step::step]]
    return [
        CachedRange(low, high, keys[at : at + step], kvs[at : at + step])
        for low, high, at in zip(starts, [*starts[1:], end], range(0, len(kvs) or 1, step), strict=True)
    ]


def _cost(key: bytes, kv: bytes) -> int:
    return len(key) + len(kv) + _ENTRY


def _before(key: bytes | None, bound: bytes | None) -> bool:
    """Return whether a bound comes before another; None is behind all."""
    return key is not None and (bound is None or key < bound)


def _least(one: bytes | None, other: bytes | None) -> bytes | None:
    return other if one is None or (other is not None and other < one) else one
