"""The level of the index that is in memory: what is newer than the newest run, or everything while there is none."""

from collections.abc import Iterable, Iterator, Sequence

from brainctl.engine.format.index_entry import DELETED, DIED, GAIN_MASK, LEASED, NEW, NONE
from brainctl.engine.index.sorted_keys import SortedKeys

_BITS = GAIN_MASK | DELETED | LEASED


class MemTable:
    """Entries by key, and the keys in order.

    Keys with a gain of +1 and of -1 are kept in order once more, so that a count needs only positions, no walk.
    """

    def __init__(self, entries: dict[bytes, int] | None = None) -> None:
        """Create a memtable with entries; the dict is kept, not copied."""
        self.entries: dict[bytes, int] = {} if entries is None else entries
        born: Iterable[bytes] = self.entries
        died: Iterable[bytes] = ()
        leased: Iterable[bytes] = ()
        self.plain = {entry & _BITS for entry in self.entries.values()} <= {NEW}
        """Whether no entry is a tombstone, has a lease, or has one below it: as in a store that only grew."""
        if not self.plain:
            rows = self.entries.items()
            born = [key for key, entry in rows if entry & GAIN_MASK == NEW]
            died = [key for key, entry in rows if entry & GAIN_MASK == DIED]
            leased = [key for key, entry in rows if entry & LEASED]
        self._order, self._born, self._died = SortedKeys(self.entries), SortedKeys(born), SortedKeys(died)
        self.leased = set(leased)

    def add(self, key: bytes, entry: int) -> None:
        """Add the entry of a key that no level has; it has no lease."""
        self.entries[key] = entry
        self._order.add(key)
        self._born.add(key)

    def add_all(self, keys: Sequence[bytes], entries: Iterable[int]) -> None:
        """Add the entries of several distinct keys as `add` does."""
        self.entries.update(zip(keys, entries, strict=True))
        self._order.add_all(keys)
        self._born.add_all(keys)

    def set(self, key: bytes, old: int | None, entry: int) -> None:
        """Set the entry of a key; `old` is the one that it replaces in this level, None when there is none."""
        self.entries[key] = entry
        self.plain = False
        if old is None:
            self._order.add(key)
        gained = entry & GAIN_MASK
        before = NONE if old is None else old & GAIN_MASK
        if gained != before:
            if before == NEW:
                self._born.remove(key)
            elif before == DIED:
                self._died.remove(key)
            if gained == NEW:
                self._born.add(key)
            elif gained == DIED:
                self._died.add(key)
        if entry & LEASED:
            self.leased.add(key)
        elif self.leased:
            self.leased.discard(key)

    def count(self, start: bytes, end: bytes | None) -> int:
        """Return the sum of the gains of a range: live keys here less live keys in the levels below."""
        return self._born.count(start, end) - self._died.count(start, end)

    @property
    def gains(self) -> int:
        """Return the sum of the gains of all keys."""
        return len(self._born) - len(self._died)

    def slice(self, start: bytes, end: bytes | None, limit: int) -> tuple[list[bytes], list[int]]:
        """Return the first `limit` (0: all) keys of a range and their entries."""
        keys = self._order.slice(start, end, limit)
        return keys, list(map(self.entries.__getitem__, keys))

    def sort(self) -> None:
        """Put the keys in order now, as `pages` requires.

        Nothing may be changed afterwards if another thread calls `pages`.
        """
        for keys in (self._order, self._born, self._died):
            keys.position(b"")

    def pages(self) -> Iterator[tuple[list[bytes], list[int]]]:
        """Yield all keys in order and their entries, page by page, once it is sorted; on any thread."""
        entry_of = self.entries.__getitem__
        for keys in self._order.chunks():
            yield keys, list(map(entry_of, keys))
