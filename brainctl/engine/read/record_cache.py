"""Records that were lately written: what reads, and the writes that replace them, are answered from without the disk.

The log is written past the page cache, so what was just written would have to be read back. An address never comes to
mean another record, so nothing is ever taken back. Two generations stand in for an order of use: what is asked for
moves to the young one, and when that is full it becomes the old one, whose rest is dropped.
"""

from collections.abc import Sequence

_ENTRY = 150
"""About what an entry takes beside its bytes: two objects and its share of the table."""


class RecentRecords:
    """Whole records by address, in about `budget` bytes of memory; only those of live versions."""

    def __init__(self, budget: int) -> None:
        self.young: dict[int, bytes] = {}
        """For lookups that are many: what is not here may still be found by `get`."""
        self._old: dict[int, bytes] = {}
        self._half = budget // 2
        self._size = 0

    def get(self, address: int) -> bytes | None:
        """The record of a live version, None when it must be read from the log."""
        record = self.young.get(address)
        if record is None and (record := self._old.get(address)) is not None:
            self.add(address, record)
        return record

    def add(self, address: int, record: bytes) -> None:
        """Note the record of a live version."""
        size = len(record) + _ENTRY
        if self._size + size > self._half:
            if size > self._half:
                return
            self._old, self.young, self._size = self.young, {}, 0
        self.young[address] = record
        self._size += size

    def add_all(self, addresses: Sequence[int], records: Sequence[bytes]) -> None:
        """`add` for several."""
        size = sum(map(len, records)) + len(records) * _ENTRY
        if self._size + size > self._half:
            for address, record in zip(addresses, records, strict=True):
                self.add(address, record)
        else:
            self.young.update(zip(addresses, records, strict=True))
            self._size += size
