"""A sorted set of keys for very many inserts: new keys wait unsorted until an order is requested."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice

_CHUNK = 1024
"""Keys per chunk after a merge; a chunk that grows to twice this is split."""


class SortedKeys:
    """Keys in byte order, in chunks. Positions count from 0."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        """Create a set of `keys`, which may come in any order."""
        self._chunks: list[list[bytes]] = []
        self._lasts: list[bytes] = []
        """The last key of each chunk."""
        self._starts: list[int] = []
        """The position of the first key of each chunk, then the number of keys; empty when to be computed again."""
        self._new = set(keys)

    def __len__(self) -> int:
        """Return the number of keys."""
        return sum(map(len, self._chunks)) + len(self._new)

    def add(self, key: bytes) -> None:
        """Add a key that is not in the set."""
        self._new.add(key)

    def add_all(self, keys: Sequence[bytes]) -> None:
        """Add keys that are not in the set."""
        self._new.update(keys)

    def remove(self, key: bytes) -> None:
        """Remove a key that is in the set."""
        if key in self._new:
            self._new.remove(key)
            return
        number = bisect_left(self._lasts, key)
        chunk = self._chunks[number]
        del chunk[bisect_left(chunk, key)]
        self._starts = []
        if not chunk:
            del self._chunks[number], self._lasts[number]
        else:
            self._lasts[number] = chunk[-1]

    def position(self, key: bytes) -> int:
        """Return how many keys are smaller than `key`."""
        self._settle()
        if not self._starts:
            self._starts = list(accumulate(map(len, self._chunks), initial=0))
        number = bisect_left(self._lasts, key)
        if number == len(self._chunks):
            return self._starts[-1]
        return self._starts[number] + bisect_left(self._chunks[number], key)

    def count(self, start: bytes, end: bytes | None) -> int:
        """Return how many keys lie in `start <= key < end`."""
        first = self.position(start)
        last = self._starts[-1] if end is None else self.position(end)
        return max(0, last - first)

    def slice(self, start: bytes, end: bytes | None, limit: int = 0) -> list[bytes]:
        """Return the keys of a range, in order; the first `limit` of them when that is not 0."""
        self._settle()
        found: list[bytes] = []
        number = bisect_left(self._lasts, start)
        first = bisect_left(self._chunks[number], start) if number < len(self._chunks) else 0
        for chunk in islice(self._chunks, number, None):
            last = len(chunk) if end is None or chunk[-1] < end else bisect_left(chunk, end)
            found += chunk[first:last]
            if last < len(chunk) or (limit and len(found) >= limit):
                break
            first = 0
        return found[:limit] if limit else found

    def chunks(self) -> list[list[bytes]]:
        """Return the keys in order, in the chunks in which they are kept."""
        self._settle()
        return list(self._chunks)

    # -- merging ------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        if self._new:
            self._merge(sorted(self._new))
            self._new = set()

    def _merge(self, keys: list[bytes]) -> None:
        """Put sorted new keys into the chunks that they belong to; those after the last chunk become new ones."""
        self._starts = []
        # More than half as many new keys as old ones: one sort of all is cheaper than merging into every chunk.
        if len(keys) > _CHUNK and len(keys) > len(self._chunks) * _CHUNK // 2:
            keys = sorted([key for chunk in self._chunks for key in chunk] + keys)
            self._chunks, self._lasts = [], []
        at, number = 0, 0
        while at < len(keys) and (number := bisect_left(self._lasts, keys[at], number)) < len(self._lasts):
            upto = bisect_left(keys, self._lasts[number], at)
            self._extend(number, keys[at:upto])
            at = upto
        if at < len(keys) and self._chunks and len(self._chunks[-1]) < _CHUNK:
            keys = self._chunks.pop() + keys[at:]
            del self._lasts[-1]
            at = 0
        for first in range(at, len(keys), _CHUNK):
            self._chunks.append(keys[first : first + _CHUNK])
            self._lasts.append(self._chunks[-1][-1])

    def _extend(self, number: int, keys: list[bytes]) -> None:
        """Put sorted keys, all smaller than its last, into a chunk; split it when it has grown too large."""
        chunk = self._chunks[number]
        if len(keys) == 1:
            chunk.insert(bisect_left(chunk, keys[0]), keys[0])
        else:
            chunk += keys
            chunk.sort()
        if len(chunk) >= 2 * _CHUNK:
            parts = [chunk[first : first + _CHUNK] for first in range(0, len(chunk), _CHUNK)]
            self._chunks[number : number + 1] = parts
            self._lasts[number : number + 1] = [part[-1] for part in parts]
