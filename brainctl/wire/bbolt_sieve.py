"""Pick the small buckets of a bbolt file out of the whole as it arrives. Nothing here does I/O.

A snapshot of etcd is a file of pages in the order of their numbers, and a page may refer to any other. Nearly all of
them are leaves of the bucket of key revisions, and the pages on which such a leaf continues. They are recognised by
their content and left out; the rest is a file with holes, in which all other buckets can be read.
"""

from struct import Struct
from typing import Final

from brainctl.errors import SnapshotDamaged

_PAGE = Struct("<QHHI")
"""A page header: id, flags, count, overflow."""
_LEAF = Struct("<IIII")
"""An element of a leaf page: flags, position of the key from here, key size, value size."""
_LEAF_PAGE, _FREELIST_PAGE = 2, 16
_META_BYTES: Final = 48
"""Bytes of the first page that are needed to learn the size of pages."""
_SIZE_AT: Final = 24
"""The position of the page size in a meta page."""
_SIZES: Final = frozenset(1 << power for power in range(9, 17))
"""The page sizes that are possible: powers of two from 512 bytes to 64 KiB."""
_REVISION_BYTES: Final = frozenset({17, 18})
"""Bytes of the key of a revision: 17, or 18 with the mark of a tombstone."""
_MARK_AT: Final = 8
"""The position of the "_" in the key of a revision."""


class Sieve:
    """A filter that takes a file piece by piece; with `everything` no page is left out."""

    def __init__(self, *, everything: bool = False) -> None:
        self._everything = everything
        self._rest = b""
        self._size = 0
        self._number = 0
        self._keeps = True
        self.length = 0
        """Bytes of the file up to the last page that has come whole."""

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
            raise SnapshotDamaged("the snapshot is no bbolt file: its first page is no meta page")
        return True

    def _wanted(self, page: bytes) -> bool:
        """Decide on one page; a page without a header of its own goes on with the one before it."""
        number, flags, count, _ = _PAGE.unpack_from(page)
        if number == self._number:
            self._keeps = self._everything or not (flags == _FREELIST_PAGE or _is_revisions(page, flags, count))
        return self._keeps


def _is_revisions(page: bytes, flags: int, count: int) -> bool:
    """Return whether a page is a leaf of the bucket of key revisions, judging by its first key."""
    if flags != _LEAF_PAGE or not count:
        return False
    _, position, length, _ = _LEAF.unpack_from(page, _PAGE.size)
    mark = _PAGE.size + position + _MARK_AT
    return length in _REVISION_BYTES and page[mark : mark + 1] == b"_"
