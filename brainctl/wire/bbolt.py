"""Read files of bbolt, which etcd's snapshots are, and write one in a single pass.

A file is pages of 4 KiB. Pages 0 and 1 are meta pages, of which the intact one with the higher transaction id counts.
All others form B+trees: branch pages point to pages, leaf pages hold keys and values, and a page too small for its
content continues in the pages behind it ("overflow"). The root tree maps bucket names to the root pages of buckets
(bbolt internal/common/page.go, meta.go, bucket.go). Nothing here does I/O.

For example, what `Writer` makes of one bucket `key` with few items:

    page 0, 1   meta: root page 4, freelist page 2, 5 pages, transaction 0 and 1
    page 2      freelist, empty
    page 3      leaf: the items of the bucket
    page 4      leaf: the root tree, "key" -> root page 3
"""

from collections.abc import Callable, Iterable, Iterator
from struct import Struct

from brainctl.errors import SnapshotDamaged

PAGE_SIZE = 4096
"""Bytes of a page that is written."""
_PAGE_SIZE_MIN = 512
_PAGE = Struct("<QHHI")
"""A page header: id, flags, count, overflow."""
_LEAF = Struct("<IIII")
"""An element of a leaf page: flags, position of the key from here, key size, value size; the value follows the key."""
_BRANCH = Struct("<IIQ")
"""An element of a branch page: position of the key from here, key size, page."""
_META = Struct("<IIIIQQQQQ")
"""A meta page: magic, version, page size, flags, root page, sequence, freelist page, pages, transaction."""
_BUCKET = Struct("<QQ")
"""A bucket: root page, sequence. A root page of 0 says that the bucket's only page follows right here."""
_BRANCH_PAGE, _LEAF_PAGE, _META_PAGE, _FREELIST_PAGE = 1, 2, 4, 16
_BUCKET_FLAG = 1
_MAGIC = 0xED0CDAED
_VERSION = 2
_FREELIST = 2
_FIRST_FREE = 3

Items = Iterable[tuple[bytes, bytes]]


def fnv64a(data: bytes) -> int:
    """Return the checksum of a meta page (FNV-1a, 64 bits)."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class Reader:
    """The buckets of a file that lies in memory, for example a memory map."""

    def __init__(self, data: bytes | memoryview) -> None:
        """Open a file, and read the names of its buckets.

        Raises:
            StoreDamaged: neither meta page is intact, or the root tree is damaged.
        """
        self._data = memoryview(data)
        metas = [meta for at in (0, PAGE_SIZE) if (meta := self._meta(at)) is not None]
        if not metas:
            raise SnapshotDamaged("not a bbolt file: neither of its two meta pages is sound")
        _, self.page_size, self._root, pages = max(metas)
        self.size = pages * self.page_size
        """Bytes of the file that are in use; what lies behind them does not belong to the database."""
        root = self._tree(self._root)
        self.buckets = {key: value for key, value, flags in root if flags & _BUCKET_FLAG}
        """The record of each bucket by its name."""

    def items(self, bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values of a bucket in key order; nothing when there is no such bucket.

        Raises:
            StoreDamaged: the bucket is damaged.
        """
        record = self.buckets.get(bucket)
        if record is None:
            return
        if len(record) < _BUCKET.size:
            raise SnapshotDamaged(f"the bbolt bucket {bucket!r} is {len(record)} bytes long")
        root, _ = _BUCKET.unpack_from(record)
        entries = self._tree(root) if root else self._entries(memoryview(record), _BUCKET.size)
        for key, value, _ in entries:
            yield key, value

    def _meta(self, at: int) -> tuple[int, int, int, int] | None:
        at += _PAGE.size
        if len(self._data) < at + _META.size + 8:
            return None
        magic, version, page_size, _, root, _, _, pages, transaction = _META.unpack_from(self._data, at)
        body = bytes(self._data[at : at + _META.size])
        checksum = int.from_bytes(self._data[at + _META.size : at + _META.size + 8], "little")
        if magic != _MAGIC or version != _VERSION or checksum != fnv64a(body):
            return None
        return transaction, page_size, root, pages

    def _tree(self, root: int) -> Iterator[tuple[bytes, bytes, int]]:
        """Yield key, value and flags of the entries of a tree in key order.

        Raises:
            StoreDamaged: a page is damaged, or the tree has more pages than the file could hold.
        """
        left = len(self._data) // _PAGE_SIZE_MIN
        pages = [root]
        while pages:
            left -= 1
            page = pages.pop()
            at = page * self.page_size
            if at + _PAGE.size > len(self._data):
                raise SnapshotDamaged(f"bbolt page {page} lies outside of the file")
            number, flags, count, _ = _PAGE.unpack_from(self._data, at)
            if number != page:
                raise SnapshotDamaged(f"bbolt page {page} says that it is page {number}")
            if left < 0:
                raise SnapshotDamaged(f"bbolt page {page} is in a tree that has no end")
            if flags & _LEAF_PAGE:
                yield from self._entries(self._data, at)
            elif flags & _BRANCH_PAGE:
                pages += reversed(self._children(at + _PAGE.size, count))
            else:
                raise SnapshotDamaged(f"bbolt page {page} is neither a branch nor a leaf")

    def _children(self, at: int, count: int) -> list[int]:
        if at + count * _BRANCH.size > len(self._data):
            raise SnapshotDamaged(f"a bbolt branch page at {at} goes on outside of the file")
        return [_BRANCH.unpack_from(self._data, at + index * _BRANCH.size)[2] for index in range(count)]

    def _entries(self, data: memoryview, at: int) -> Iterator[tuple[bytes, bytes, int]]:
        count = _PAGE.unpack_from(data, at)[2] if at + _PAGE.size <= len(data) else len(data)
        if at + _PAGE.size + count * _LEAF.size > len(data):
            raise SnapshotDamaged(f"a bbolt leaf page at {at} goes on outside of the file")
        for element in range(at + _PAGE.size, at + _PAGE.size + count * _LEAF.size, _LEAF.size):
            flags, position, key_size, value_size = _LEAF.unpack_from(data, element)
            key = element + position
            value = key + key_size
            if value + value_size > len(data):
                raise SnapshotDamaged(f"a bbolt leaf page at {at} points outside of the file")
            yield bytes(data[key:value]), bytes(data[value : value + value_size]), flags


class Writer:
    """Builds a file from buckets whose items come in key order, page after page."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """Create a writer.

        Args:
            write: takes the pages in order from page 2 on; `finish` returns the two pages that go before them.
        """
        self._write = write
        self._next = _FIRST_FREE
        self._buckets: list[tuple[bytes, bytes]] = []
        write(_page(_FREELIST, _FREELIST_PAGE, 0, b""))

    def bucket(self, name: bytes, items: Items) -> None:
        """Write a whole bucket; buckets come in the order of their names."""
        self._buckets.append((name, _BUCKET.pack(self._tree(items, 0), 0)))

    def finish(self) -> bytes:
        """Write the root tree, and return the meta pages, which go before everything written."""
        root = self._tree(self._buckets, _BUCKET_FLAG)
        pages = b""
        for number in (0, 1):
            body = _META.pack(_MAGIC, _VERSION, PAGE_SIZE, 0, root, 0, _FREELIST, self._next, number)
            pages += _page(number, _META_PAGE, 0, body + fnv64a(body).to_bytes(8, "little"))
        return pages

    def _tree(self, items: Items, flags: int) -> int:
        """Write a B+tree, and return its root page."""
        level = [self._leaf(page, flags) for page in _paged(items, _LEAF.size)] or [self._leaf([], flags)]
        while len(level) > 1:
            children = [(key, number.to_bytes(8, "little")) for key, number in level]
            level = [self._branch(page) for page in _paged(children, _BRANCH.size - 8)]
        return level[0][1]

    def _leaf(self, items: list[tuple[bytes, bytes]], flags: int) -> tuple[bytes, int]:
        position = len(items) * _LEAF.size
        elements = bytearray()
        for key, value in items:
            elements += _LEAF.pack(flags, position - len(elements), len(key), len(value))
            position += len(key) + len(value)
        body = bytes(elements) + b"".join(part for item in items for part in item)
        return self._add(_LEAF_PAGE, items, body)

    def _branch(self, items: list[tuple[bytes, bytes]]) -> tuple[bytes, int]:
        position = len(items) * _BRANCH.size
        elements = bytearray()
        for key, number in items:
            elements += _BRANCH.pack(position - len(elements), len(key), int.from_bytes(number, "little"))
            position += len(key)
        return self._add(_BRANCH_PAGE, items, bytes(elements) + b"".join(key for key, _ in items))

    def _add(self, kind: int, items: list[tuple[bytes, bytes]], body: bytes) -> tuple[bytes, int]:
        number = self._next
        page = _page(number, kind, len(items), body)
        self._next += len(page) // PAGE_SIZE
        self._write(page)
        return items[0][0] if items else b"", number


def _page(number: int, flags: int, count: int, body: bytes) -> bytes:
    """Return a page with its header, padded with zeros to whole pages of 4 KiB."""
    pages = max(1, -(-(_PAGE.size + len(body)) // PAGE_SIZE))
    return (_PAGE.pack(number, flags, count, pages - 1) + body).ljust(pages * PAGE_SIZE, b"\0")


def _paged(items: Items, overhead: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield items in page-sized groups of at least two where there are two: a branch of one child would never end."""
    group: list[tuple[bytes, bytes]] = []
    room = PAGE_SIZE - _PAGE.size
    for item in items:
        need = overhead + len(item[0]) + len(item[1])
        if need > room and len(group) > 1:
            yield group
            group, room = [], PAGE_SIZE - _PAGE.size
        group.append(item)
        room -= need
    if group:
        yield group
