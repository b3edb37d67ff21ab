"""Records that were recently written: reads, and the writes that replace them, are answered without the disk.

The log is written past the page cache, so what was just written would have to be read back: the cache saves 1 us of an
overwrite (docs/internals/write-path.md). An address never comes to mean another record, so no entry ever has to be
invalidated. Two generations stand in for an order of use: a record that is requested moves to the young one; when that
is full it becomes the old one, and the rest of the previous old one is dropped.
"""

from collections.abc import Sequence

_ENTRY = 150
"""Bytes that an entry takes beside its record, about: two objects and its share of the table."""


class RecentRecords:
    """Whole records by address, in about `budget` bytes of memory; only those of live versions."""

    def __init__(self, budget: int) -> None:
        self.young: dict[int, bytes] = {}
        """The young generation, for callers with many lookups; a record that it lacks may still be found by `get`."""
        self._old: dict[int, bytes] = {}
        self._half = budget // 2
        self._size = 0

    def get(self, address: int) -> bytes | None:
        """Return the record of a live version, None when it must be read from the log."""
        record = self.young.get(address)
        if record is None and (record := self._old.get(address)) is not None:
            self.add(address, record)
        return record

    def add(self, address: int, record: bytes) -> None:
        """Add the record of a live version."""
        size = len(record) + _ENTRY
        if self._size + size > self._half:
            if size > self._half:
                return
            self._old, self.young, self._size = self.young, {}, 0
        self.young[address] = record
        self._size += size

    def add_all(self, addresses: Sequence[int], records: Sequence[bytes]) -> None:
        """Add several records as `add` does."""
        size = sum(map(len, records)) + len(records) * _ENTRY
        if self._size + size > self._half:
            for address, record in zip(addresses, records, strict=True):
                self.add(address, record)
        else:
            self.young.update(zip(addresses, records, strict=True))
            self._size += size
