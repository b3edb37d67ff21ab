"""KeyValues that were lately written or read: what a list answers from without touching the log.

An address never comes to mean another record, so nothing is ever taken back. Two generations stand in for an order of
use: what is asked for moves to the young one, and when that is full it becomes the old one, whose rest is dropped.
"""

from collections.abc import Sequence

_ENTRY = 150
"""About what an entry takes beside its bytes: two objects and its share of the table."""


class RecentKvs:
    """KeyValues by address, in about `budget` bytes of memory; only those of live versions, once they were checked."""

    def __init__(self, budget: int) -> None:
        self.young: dict[int, bytes] = {}
        """For lookups that are many: what is not here may still be found by `get`."""
        self._old: dict[int, bytes] = {}
        self._half = budget // 2
        self._size = 0

    def get(self, address: int) -> bytes | None:
        """The KeyValue of a live version, None when it must be read from the log."""
        kv = self.young.get(address)
        if kv is None and (kv := self._old.get(address)) is not None:
            self.add(address, kv)
        return kv

    def add(self, address: int, kv: bytes) -> None:
        """Note the KeyValue of a live version."""
        size = len(kv) + _ENTRY
        if self._size + size > self._half:
            if size > self._half:
                return
            self._old, self.young, self._size = self.young, {}, 0
        self.young[address] = kv
        self._size += size

    def add_all(self, addresses: Sequence[int], kvs: Sequence[bytes]) -> None:
        """`add` for several."""
        size = sum(map(len, kvs)) + len(kvs) * _ENTRY
        if self._size + size > self._half:
            for address, kv in zip(addresses, kvs, strict=True):
                self.add(address, kv)
        else:
            self.young.update(zip(addresses, kvs, strict=True))
            self._size += size
