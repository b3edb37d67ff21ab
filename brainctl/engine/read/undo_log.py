"""The last changes, each with the version that it replaced: the short way from the newest state back to a recent one.

A client that lists in pages reads all of them at the revision of the first, while others write. Few keys of the range
have changed since then, so the range is read as it is now, and what the undo log has for it is put back. It is in
memory only, begins empty when a store is opened, and forgets the oldest changes; older revisions are read the long way,
from version to version. The package docstring has an example.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_CHANGES = 1 << 16
"""Changes that are kept at least, once there were as many, and a quarter more at most; about 100 bytes each.

With 1,000 clients that list in pages, 60,000 changes come during one list: the server did 4,000 calls a second; 1,760
while only 16,384 were kept, and a page undid all changes behind it, too (docs/internals/engine.md).
"""


class WayBack(NamedTuple):
    """Way from the newest state of a range back to an older one."""

    then: dict[bytes, int]
    """For each key that has changed since: the address of the version that was live then, 0 when there was none."""
    gained: int
    """Number of keys that are live now, less that of then."""


class UndoLog:
    """The last changes, in the order of their revisions."""

    def __init__(self, revision: int) -> None:
        """Create an empty log: there is no way back to revisions before `revision`."""
        self._first = revision
        """The oldest revision that there is a way back to."""
        self._revisions = array("q")
        self._keys: list[bytes] = []
        self._ended = array("q")
        """Address of the live version that each change replaced: 0 for none, negative when the key was
        deleted.

        The sign is what counting needs: a 0 is a key that is new since, a negative address one that is gone.
        """

    def add(self, revisions: Iterable[int], keys: Sequence[bytes], ended: Iterable[int]) -> None:
        """Add changes: their revisions, which ascend, their keys, and for each the value of `_ended`."""
        self._revisions.extend(revisions)
        self._keys += keys
        self._ended.extend(ended)
        excess = len(self._keys) - _CHANGES
        if excess >= _CHANGES // 4:
            self._first = self._revisions[excess - 1]
            del self._revisions[:excess], self._keys[:excess], self._ended[:excess]

    def since(self, revision: int, start: bytes, end: bytes | None) -> WayBack | None:
        """Return the way back from now to `revision` in `start <= key < end`; None when `revision` is too long ago."""
        if revision < self._first:
            return None
        at = bisect_right(self._revisions, revision)
        rows = zip(self._keys[at:], self._ended[at:], strict=True)
        if end is None:
            here = [row for row in rows if start <= row[0]]
        else:
            here = [row for row in rows if start <= row[0] < end]
        here.reverse()  # the dict keeps the last row of a key: the oldest change, which tells how it was at `revision`
        ended = [address for _key, address in here]
        died = len([address for address in ended if address < 0])
        return WayBack({key: abs(address) for key, address in here}, ended.count(0) - died)
