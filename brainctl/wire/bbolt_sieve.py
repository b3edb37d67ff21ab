"""The small buckets of a bbolt file picked out of the whole, as it arrives. Nothing here does I/O.

A snapshot of etcd is a file of pages in the order of their numbers, and a page may refer to any other. Nearly all of
them are leaves of the bucket of key revisions, and the pages on which such a leaf goes on. They are told by what they
hold and left out; the rest is a file with holes, in which all other buckets can be read.
"""

from struct import Struct
from typing import Final

from brainctl.errors import StoreDamaged

_PAGE = Struct("<QHHI")
"""id, flags, count, overflow."""
_LEAF = Struct("<IIII")
"""flags, position of the key from here, key size, value size."""
_LEAF_PAGE, _FREELIST_PAGE = 2, 16
_META_BYTES: Final = 48
_SIZE_AT: Final = 24
"""Where a meta page says how large pages are."""
_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_REVISION_BYTES: Final = frozenset({17, 18})
_MARK_AT: Final = 8
"""Where the key of a revision has its "_"."""


class Sieve:
    """Takes a file piece by piece; with `everything` nothing is left out."""

    def __init__(self, *, everything: bool = False) -> None:
        self._everything = everything
        self._rest = b""
        self._size = 0
        self._number = 0
        self._keeps = True
        self.length = 0
        """The bytes of the file of which the whole pages have been seen."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the pages to keep among those that `data` completes, each with its offset.

        Raises:
            StoreDamaged: what arrives is no bbolt file.
        """
        self._rest += data
        if not self._size and not self._learn_size():
            return []
        kept, size = [], self._size
        whole = len(self._rest) // size * size
        for at in range(0, whole, size):
            page = self._rest[at : at + size]
            if self._wanted(page):
                kept.append((self._number * size, page))
            self._number += 1
        self._rest = self._rest[whole:]
        self.length = self._number * size
        return kept

    def _learn_size(self) -> bool:
        if len(self._rest) < _META_BYTES:
            return False
        self._size = int.from_bytes(self._rest[_SIZE_AT : _SIZE_AT + 4], "little")
        if self._size not in _SIZES:
            raise StoreDamaged("the snapshot is no bbolt file: its first page is no meta page")
        return True

    def _wanted(self, page: bytes) -> bool:
        """Decide on one page; a page without a header of its own goes on with the one before it."""
        number, flags, count, _ = _PAGE.unpack_from(page)
        if number == self._number:
            self._keeps = self._everything or not (flags == _FREELIST_PAGE or _is_revisions(page, flags, count))
        return self._keeps


def _is_revisions(page: bytes, flags: int, count: int) -> bool:
    """Tell by the first key of a page whether it is a leaf of the bucket of key revisions."""
    if flags != _LEAF_PAGE or not count:
        return False
    _, position, length, _ = _LEAF.unpack_from(page, _PAGE.size)
    mark = _PAGE.size + position + _MARK_AT
    return length in _REVISION_BYTES and page[mark : mark + 1] == b"_"
