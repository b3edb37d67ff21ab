"""The state hash of a key range: equal in two stores when they hold the same, whatever they are made of.

    leaf(key)  = BLAKE2b-256(marshalled KeyValue), personalised with "brainctl key"
    hash(range) = BLAKE2b-256(leaf of its first key, leaf of its second key, ...), personalised with "brainctl range"

docs/formats/state-hash.md has it byte by byte. Pure.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

HASH_BYTES = 32
PART_BYTES = 16 << 20
"""A part ends when it has this number of bytes, whatever its number of keys."""
leaf = partial(blake2b, digest_size=HASH_BYTES, person=b"brainctl key")
"""Starts the hash of one marshalled KeyValue."""
range_hash = partial(blake2b, digest_size=HASH_BYTES, person=b"brainctl range")
"""Starts the hash of a range."""


class Part(NamedTuple):
    """A part of a range. It begins where the part before it ends."""

    end: bytes
    """The key behind it; empty when there is no upper bound."""
    keys: int
    size: int
    """The bytes of the marshalled KeyValues."""
    digest: bytes
    """Empty when it was not computed, because there are more bytes than were requested."""


class Cutter:
    """Cuts the keys of a range, which arrive in their order, into parts that end after some keys or bytes."""

    def __init__(self, end: bytes, keys: int) -> None:
        """Create the cutter of a range.

        Args:
            end: The end of the range; empty when it has none.
            keys: The keys of a part, at least 1.
        """
        self.parts: list[Part] = []
        self._end = end
        self._keys = max(1, keys)
        self._open = _Open()

    def add(self, keys: Sequence[bytes], leaves: Sequence[bytes], sizes: Sequence[int]) -> None:
        """Take the next keys, their leaves, and the sizes of their marshalled KeyValues."""
        at = 0
        while at < len(keys):
            upto = min(len(keys), at + self._keys - self._open.keys)
            self._open.add(leaves[at:upto], sum(sizes[at:upto]))
            at = upto
            if self._open.keys >= self._keys or self._open.size >= PART_BYTES:
                self._close(keys[upto - 1] + b"\0")

    def finish(self) -> None:
        """End the last part with the range."""
        if not (self.parts and self.parts[-1].end == self._end != b""):
            self._close(self._end)

    def _close(self, end: bytes) -> None:
        self.parts.append(self._open.part(end))
        self._open = _Open()


class Follower:
    """Hashes the keys of a range, which arrive in their order, in parts that another side has cut."""

    def __init__(self, cuts: Sequence[Part]) -> None:
        """Create the follower of parts, of which `end` and `size` are used."""
        self.parts: list[Part] = []
        self._cuts = cuts
        self._open = _Open()

    @property
    def complete(self) -> bool:
        """Return whether all parts are hashed."""
        return len(self.parts) == len(self._cuts)

    @property
    def overrun(self) -> bool:
        """Return whether the open part has more bytes than its cut: then it is different, whatever follows."""
        return not self.complete and self._open.size > self._cuts[len(self.parts)].size

    def add(self, keys: Sequence[bytes], leaves: Sequence[bytes], sizes: Sequence[int]) -> None:
        """Take the next keys, their leaves, and the sizes of their marshalled KeyValues."""
        at = 0
        sums = [0, *accumulate(sizes)]
        while at < len(keys) and not self.complete:
            end = self._cuts[len(self.parts)].end
            upto = bisect_left(keys, end, at) if end else len(keys)
            self._open.add(leaves[at:upto], sums[upto] - sums[at])
            at = upto
            if at < len(keys):
                self._close()

    def skip(self) -> bytes:
        """End the open part without a hash, and return where the next one begins; empty when there is none."""
        part = self._open.part(self._cuts[len(self.parts)].end)
        self.parts.append(part._replace(digest=b""))
        self._open = _Open()
        return b"" if self.complete else part.end

    def finish(self) -> None:
        """End all parts that are left: no more keys follow."""
        while not self.complete:
            self._close()

    def _close(self) -> None:
        cut = self._cuts[len(self.parts)]
        part = self._open.part(cut.end)
        self.parts.append(part if part.size <= cut.size else part._replace(digest=b""))
        self._open = _Open()


class _Open:
    """A part to which keys are still added."""

    def __init__(self) -> None:
        self.keys = 0
        self.size = 0
        self._hash = range_hash()

    def add(self, leaves: Sequence[bytes], size: int) -> None:
        self.keys += len(leaves)
        self.size += size
        self._hash.update(b"".join(leaves))

    def part(self, end: bytes) -> Part:
        return Part(end, self.keys, self.size, self._hash.digest())


def leaves_of(kvs: Sequence[bytes]) -> list[bytes]:
    """Return the leaf of each marshalled KeyValue."""
    return [leaf(kv).digest() for kv in kvs]
