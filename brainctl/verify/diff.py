"""Two ordered streams of keys compared, in memory that does not grow with them. Pure.

Each side is fed pages; a page covers the keys up to a bound, so that what lies below the lower bound of both sides
can be compared and removed. Equal runs are compared as lists of bytes, without parsing them.

The first side leads: the second is asked for the keys up to where the first is known, which is one page as well when
the sides are alike. A store that counts the rest of a range for every page does so on one side only.

Example: the first page of the expected side has a, b, d and ends below "e". The other side is read from the beginning
up to "e" and has a, c, d. Both are known below "e", so b is reported as missing and c as extra, the KeyValues of a and
d are compared, and all six are removed.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from brainctl.verify.difference import ExtraKey, KeyDifference, MissingKey, mismatch


class Page(NamedTuple):
    """The next keys of one side."""

    keys: list[bytes]
    kvs: list[bytes]
    """Marshalled KeyValues, one for each key."""
    next: bytes
    """All keys below this one are covered: the end that was asked for (empty for none) when no more keys follow."""


class Side:
    """The keys of one side that were read and are not compared yet."""

    def __init__(self, start: bytes = b"", end: bytes = b"") -> None:
        self.keys: list[bytes] = []
        self.kvs: list[bytes] = []
        self.bound: bytes | None = start
        """All keys below this one were read; None when the side has ended."""
        self._end = end

    def add(self, page: Page) -> None:
        """Append the page that begins at the bound."""
        self.keys += page.keys
        self.kvs += page.kvs
        self.bound = None if page.next == self._end else page.next

    def cut(self, bound: bytes | None) -> tuple[list[bytes], list[bytes]]:
        """Remove and return the keys below `bound` and their KeyValues; all of them when it is None."""
        end = len(self.keys) if bound is None else bisect_left(self.keys, bound)
        taken = self.keys[:end], self.kvs[:end]
        del self.keys[:end], self.kvs[:end]
        return taken


class Want(NamedTuple):
    """A page to read."""

    side: Side
    start: bytes
    end: bytes
    """The key at which the page must end; empty when the store may decide."""


class Merge:
    """The comparison of a range of two sides."""

    def __init__(self, start: bytes = b"", end: bytes = b"") -> None:
        """Create the comparison of the keys from `start` to `end`; an empty `end` means all that follow."""
        self.expected = Side(start, end)
        self.found = Side(start, end)
        self._end = end
        self.compared = 0
        """The number of keys of the first side that were compared."""

    @property
    def complete(self) -> bool:
        """Return whether both sides have ended."""
        return self.expected.bound is None and self.found.bound is None

    def wanted(self) -> list["Want"]:
        """Return the pages to read now: at most one of each side, the first side's at most one page ahead."""
        first, second = self.expected, self.found
        wanted = []
        if first.bound is not None and (not first.keys or first.bound == second.bound):
            wanted.append(Want(first, first.bound, self._end))
        if second.bound is not None and second.bound != first.bound:
            wanted.append(Want(second, second.bound, self._end if first.bound is None else first.bound))
        return wanted

    def differences(self) -> Iterator[KeyDifference]:
        """Compare, and remove, the keys that were read on both sides; yield the differences."""
        low = self.low
        keys, kvs = self.expected.cut(low)
        other_keys, other_kvs = self.found.cut(low)
        self.compared += len(keys)
        if kvs != other_kvs:
            yield from _merge(keys, kvs, other_keys, other_kvs)

    @property
    def low(self) -> bytes | None:
        """Return the key below which both sides were read; None when both have ended."""
        bounds = [side.bound for side in (self.expected, self.found) if side.bound is not None]
        return min(bounds, default=None)


def _merge(
    keys: list[bytes], kvs: list[bytes], other_keys: list[bytes], other_kvs: list[bytes]
) -> Iterator[KeyDifference]:
    """Yield the differences of two sorted lists, in key order."""
    left = right = 0
    while left < len(keys) or right < len(other_keys):
        if right == len(other_keys) or (left < len(keys) and keys[left] < other_keys[right]):
            yield MissingKey(keys[left])
            left += 1
        elif left == len(keys) or other_keys[right] < keys[left]:
            yield ExtraKey(other_keys[right])
            right += 1
        else:
            if kvs[left] != other_kvs[right] and (found := mismatch(keys[left], kvs[left], other_kvs[right])):
                yield found
            left += 1
            right += 1
