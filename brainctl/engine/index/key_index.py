"""The index: the address of the newest version of each key, and the keys in order.

The index has levels, newest first: a memtable (`delta`); while a run is being written from one, that one, frozen; and
the runs. An entry in a newer level hides those below. A key whose newest version is a tombstone keeps its entry until
runs are merged after a compaction has passed it: reads at older revisions still start from there.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from heapq import merge

from brainctl.engine.format import bloom_filter
from brainctl.engine.format.index_entry import DELETED, GAIN_MASK, LEASED, NEW, SHIFT, delete, put, seen_above
from brainctl.engine.index.memtable import MemTable
from brainctl.engine.index.run_reader import Run

_PAGE = 4096
"""Keys that one step of walking a range takes from each level."""
_KNOWN = 1 << 16
"""Entries of runs that are cached in each of two generations: lookup results, and the entries that replaced them.

Overwriting among 100,000 keys was a fifth slower with half of it (docs/internals/write-path.md).
"""
_ABSENT = 1 << 12
"""Keys that are cached as being in no run."""


class KeyIndex:
    """Addresses by key. An address is an int that is never 0 (segment number << 32 | offset)."""

    def __init__(self, entries: dict[bytes, int] | None = None, runs: Sequence[Run] = ()) -> None:
        """Create an index with a memtable above runs.

        Args:
            entries: The entries of the memtable; the dict is kept, not copied.
            runs: The runs below it, newest first.
        """
        self.delta = MemTable(entries)
        self.frozen: MemTable | None = None
        self.runs = tuple(runs)
        self._entries = self.delta.entries
        self._deep = bool(runs)
        """Whether there is anything below the memtable."""
        self._filtered: tuple[Run, ...] = ()
        self._filters: list[tuple[bytes, bytes, array[int], int, Callable[[bytes], int | None]]] = []
        """First and last key of each run in `_filtered`, the words of the filter, their number, and `Run.find`.

        Most keys are new to most runs, so a lookup compares and asks the filter before it reads a leaf.
        """
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        self._absent: set[bytes] = set()
        """Keys that no run has: the put of a new key asks twice."""

    def __len__(self) -> int:
        """Return the number of live keys."""
        total = self.delta.gains + sum(run.header.gains for run in self.runs)
        return total if self.frozen is None else total + self.frozen.gains

    # -- one key ------------------------------------------------------------------------------------------------

    def find(self, key: bytes) -> int | None:
        """Return the entry of the newest version of a key, be it a tombstone; None or 0 when it has none.

        Raises:
            StoreDamaged: A block of a run is not sound.
        """
        entry = self._entries.get(key)
        return self.below(key) if entry is None else entry

    def newest(self, key: bytes) -> int:
        """Return the address of the newest version of a key, be it a tombstone; 0 when it has none.

        Raises:
            StoreDamaged: A block of a run is not sound.
        """
        entry = self._entries.get(key)
        if entry is None:
            entry = self.below(key)
        return entry >> SHIFT if entry else 0

    def below(self, key: bytes) -> int | None:
        """Return the entry that the levels under the memtable have for a key; None or 0 when they have none."""
        if self.frozen is not None:
            entry = self.frozen.entries.get(key)
            if entry is not None:
                return entry
        if not self.runs:
            return None
        entry = self._young.get(key)
        if entry is None:
            if key in self._absent:
                return 0
            entry = self._old.get(key) or self._search(key)
            if not entry:
                if len(self._absent) >= _ABSENT:
                    self._absent.clear()
                self._absent.add(key)
                return 0
            if len(self._young) >= _KNOWN:
                self._old, self._young = self._young, {}
            self._young[key] = entry
        return entry

    def _search(self, key: bytes) -> int:
        """Return the entry that the newest run with a key has for it; 0 when no run has it."""
        if self._filtered is not self.runs:
            self._filters = [
                (*run.bounds, run.filter, len(run.filter), run.find) for run in self.runs if run.header.root
            ]
            self._filtered = self.runs
        # One loop over all runs, most of which a key is not in: comparing with the first and last key saves 1.4 us per
        # put with ascending keys and three runs, asking all filters here 0.9 us (docs/internals/write-path.md). All
        # filters use one hash of the key, which is computed only if a run may have it.
        place = bits = -1
        for first, last, words, count, find in self._filters:
            if first <= key <= last:
                if bits < 0:
                    place, bits = bloom_filter.spread(key)
                if words[place * count >> 32] & bits == bits:
                    entry = find(key)
                    if entry is not None:
                        return entry
        return 0

    def add_all(self, keys: Sequence[bytes], addresses: Sequence[int]) -> None:
        """Add the first versions of distinct keys that no level knows; none has a lease.

        One update of the dict and sets per group commit saves 0.65 us per put (docs/internals/write-path.md).
        """
        self.delta.add_all(keys, [address << SHIFT | NEW for address in addresses])

    def put(self, key: bytes, address: int, leased: bool = False) -> int:
        """Add a new version, and return the address of the live version that it replaces, 0 when there was none."""
        entries = self._entries
        here = entries.get(key)
        if here is None:
            lower = self.below(key) if self._deep else None
            if not lower and not leased:  # a new key: the most frequent case, without the bookkeeping of `set`
                self.delta.add(key, address << SHIFT | NEW)
                return 0
            old = seen_above(lower) if lower else None
        elif not (leased or here & (DELETED | LEASED)):  # an overwrite: the gain stays, and so do the ordered keys
            entries[key] = address << SHIFT | here & GAIN_MASK
            return here >> SHIFT
        else:
            old = here
        self.delta.set(key, here, put(old, address, LEASED if leased else 0))
        return old >> SHIFT if old is not None and not old & DELETED else 0

    def delete(self, key: bytes, address: int) -> int:
        """Add a tombstone, and return the address of the live version that it replaces, 0 when there was none."""
        here = old = self._entries.get(key)
        if old is None:
            lower = self.below(key)
            old = seen_above(lower) if lower else None
        self.delta.set(key, here, delete(old, address))
        return old >> SHIFT if old is not None and not old & DELETED else 0

    # -- ranges -------------------------------------------------------------------------------------------------

    def count(self, start: bytes, end: bytes | None) -> int:
        """Return the number of live keys in `start <= key < end`."""
        if end is not None and end <= start:
            return 0
        total = self.delta.count(start, end)
        if self.frozen is not None:
            total += self.frozen.count(start, end)
        for run in self.runs:
            total += run.gained(end) - (run.gained(start) if start else 0)
        return total

    def live(self, start: bytes, end: bytes | None, limit: int = 0) -> tuple[list[bytes], list[int]]:
        """Return the first `limit` (0: all) live keys of a range, in order, and their newest addresses."""
        if self.delta.plain and not self._deep:
            keys, entries = self.delta.slice(start, end, limit)
        else:
            keys, entries = self._walk(start, end, limit, live=True)
        return keys, [entry >> SHIFT for entry in entries]

    def all(self, start: bytes, end: bytes | None, limit: int = 0) -> tuple[list[bytes], list[int]]:
        """Return the first keys of a range, deleted ones that still have an entry among them, and their entries."""
        return self._walk(start, end, limit, live=False)

    def page(
        self, start: bytes, end: bytes | None, limit: int, *, live: bool
    ) -> tuple[list[bytes], list[int], bytes | None]:
        """Return the first keys of a range in order, their entries, and where the rest begins (None: there is none).

        About `limit` keys of each level are looked at, however many remain of them: with `live`, deleted keys are left
        out.
        """
        keys, entries, following = self._page(start, end, limit)
        if live and any(entry & DELETED for entry in entries):
            keys = [key for key, entry in zip(keys, entries, strict=True) if not entry & DELETED]
            entries = [entry for entry in entries if not entry & DELETED]
        return keys, entries, following

    def _walk(self, start: bytes, end: bytes | None, limit: int, *, live: bool) -> tuple[list[bytes], list[int]]:
        """Return up to `limit` (0: all) keys of a range and their entries, page by page; only live ones with `live`."""
        keys: list[bytes] = []
        entries: list[int] = []
        at: bytes | None = start
        while at is not None and not (limit and len(keys) >= limit):
            page = min(_PAGE, limit - len(keys) + 16) if limit else _PAGE
            more, found, at = self._page(at, end, page if self.runs or self.frozen or limit else 0)
            if live and any(entry & DELETED for entry in found):
                kept = [(key, entry) for key, entry in zip(more, found, strict=True) if not entry & DELETED]
                more, found = [key for key, _ in kept], [entry for _, entry in kept]
            keys += more
            entries += found
        if limit:
            del keys[limit:], entries[limit:]
        return keys, entries

    def _page(self, start: bytes, end: bytes | None, limit: int) -> tuple[list[bytes], list[int], bytes | None]:
        """Return about `limit` (0: all) keys of a range in order, their entries, and where the next page begins."""
        levels = [self.delta.slice(start, end, limit)]
        if self.frozen is not None:
            levels.append(self.frozen.slice(start, end, limit))
        levels += [run.slice(start, end, limit) for run in self.runs]
        full = [keys[-1] for keys, _entries in levels if limit and len(keys) >= limit]
        following = min(full) + b"\0" if full else None
        levels = [level for level in levels if level[0]]
        if len(levels) <= 1:
            keys, entries = levels[0] if levels else ([], [])
            return keys, entries, following
        merged: dict[bytes, int] = {}
        for keys, entries in reversed(levels):
            merged.update(zip(keys, entries, strict=True))
        keys = sorted(merged)
        if following is not None:
            while keys[-1] >= following:
                keys.pop()
        return keys, [merged[key] for key in keys], following

    def leased(self) -> Iterator[bytes]:
        """Yield the live keys whose newest version has a lease, in order.

        Raises:
            StoreDamaged: A block of a run is not sound.
        """
        found = [sorted(self.delta.leased), *(run.leased() for run in self.runs)]
        if self.frozen is not None:
            found.append(sorted(self.frozen.leased))
        last = None
        for key in merge(*found):
            if key != last:
                last = key
                entry = self.find(key)
                if entry and entry & LEASED:
                    yield key

    # -- levels -------------------------------------------------------------------------------------------------

    def freeze(self) -> MemTable:
        """Begin a new memtable, and return the previous one, which stays unchanged below it until `replace_frozen`."""
        assert self.frozen is None
        self.delta.sort()
        self.frozen = self.delta
        self.delta = MemTable()
        self._entries = self.delta.entries
        self._deep = True
        return self.frozen

    def replace_frozen(self, run: Run) -> None:
        """Replace the frozen memtable by the run that was written from it."""
        assert self.frozen is not None
        self._absent.clear()
        self._remember(self.frozen)
        self.runs = (run, *self.runs)
        self.frozen = None

    def _remember(self, settled: MemTable) -> None:
        """Let the cache of run entries follow a memtable that is becoming a run."""
        known = settled.entries
        if len(known) > _KNOWN:  # to go through them would take longer than to look up again what is requested
            self._young, self._old = {}, {}
            return
        for key in known.keys() & self._old.keys():
            del self._old[key]
        found = self._young.keys() & known.keys()
        if not settled.plain:  # entries that replaced others are likelier to be looked up in the runs than new keys
            found |= {key for key, entry in known.items() if entry & GAIN_MASK != NEW}
        if len(self._young) + len(found) > _KNOWN:
            self._old, self._young = self._young, {}
            for key in found & self._old.keys():
                del self._old[key]
        self._young.update((key, known[key]) for key in found)

    def exchange(self, old: Sequence[Run], new: Run) -> None:
        """Replace runs that follow each other by the one that they were merged into."""
        at = self.runs.index(old[0])
        assert self.runs[at : at + len(old)] == tuple(old)
        self.runs = (*self.runs[:at], new, *self.runs[at + len(old) :])
