"""The key space cut into spans of similar size, with few and cheap requests to the source.

Keys share long prefixes (/registry/pods/...), so cutting at evenly spaced bytes would put all of them into one span.
Instead the tree of prefixes is walked from the top: a prefix with many keys is divided by the byte that follows it,
until its parts are small enough or MAX_QUESTIONS requests were sent.

Example: 100,000 keys under /registry/ are to be cut into about 4 parts of up to 25,000. The shared prefix is
"/registry/". Below it, "e" (events) has 60,000 keys, "l" 5,000, "p" 35,000. "e" and "p" are too large and are divided
further; neighbours that are small together are joined, so that "l" becomes part of a span with some of "p".
"""

from collections.abc import Awaitable, Callable

Count = Callable[[bytes, bytes], Awaitable[int]]
"""Returns the number of live keys with `start <= key < end`; an empty end is no upper bound."""
First = Callable[[bytes, bytes], Awaitable[bytes | None]]
"""Returns the first live key with `start <= key < end`; None when there is none."""

MIN_KEYS = 20_000
"""Fewer keys than this are not worth cutting."""
PARTS = 16
"""About how many spans are wanted."""
MAX_QUESTIONS = 600
"""The most requests for one split; then parts stay as large as they are."""


class Splitter:
    """Finds the keys at which to cut."""

    def __init__(self, count: Count, first: First) -> None:
        self._count = count
        self._first = first
        self._questions = 0

    async def splits(self, total: int, parts: int = PARTS, min_keys: int = MIN_KEYS) -> tuple[bytes, ...]:
        """Return keys, in order, that cut the `total` keys of the source into about `parts` spans; empty when few."""
        if total < max(min_keys, 2):
            return ()
        limit = max(1, total // parts)
        cuts: list[bytes] = []
        gathered = 0
        for start, size in await self._parts(b"", b"", total, limit):
            if gathered and gathered + size > limit:
                cuts.append(start)
                gathered = 0
            gathered += size
        return tuple(cuts)

    async def _parts(self, prefix: bytes, end: bytes, size: int, limit: int) -> list[tuple[bytes, int]]:
        """Return the keys that start with `prefix`, below `end`, as (first key, number of keys), in order."""
        first = await self._ask_first(prefix or b"\0", end)
        if first is None:
            return []
        if size <= limit or self._questions >= MAX_QUESTIONS:
            return [(first, size)]
        prefix = await self._shared(prefix, first, size)
        found: list[tuple[bytes, int]] = []
        while first is not None:
            # A key that equals the prefix has no following byte: it goes with the first child.
            child = first[: len(prefix) + 1] if len(first) > len(prefix) else prefix + b"\0"
            after = prefix_end(child)
            keys = await self._ask_count(first, after)
            found += [(first, keys)] if keys == size else await self._parts(child, after, keys, limit)
            first = await self._ask_first(after, end) if after else None
        return found

    async def _shared(self, prefix: bytes, first: bytes, size: int) -> bytes:
        """Return the longest prefix of `first` that all `size` keys under `prefix` share, by bisection."""
        low, high = len(prefix), len(first)
        while low < high:
            middle = (low + high + 1) // 2
            candidate = first[:middle]
            if await self._ask_count(candidate, prefix_end(candidate)) == size:
                low = middle
            else:
                high = middle - 1
        return first[:low]

    async def _ask_count(self, start: bytes, end: bytes) -> int:
        self._questions += 1
        return await self._count(start, end)

    async def _ask_first(self, start: bytes, end: bytes) -> bytes | None:
        self._questions += 1
        return await self._first(start, end)


def prefix_end(prefix: bytes) -> bytes:
    r"""Return the first key after all keys that start with `prefix`; empty when there is none (b"\xff\xff")."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b""
