"""Merges several runs into one; it reads through `Run` and writes nothing.

It takes a page of keys from each run at a time, so that the loops over keys are those of `dict`, `sorted` and `map`, in
C: about 1.2 us for each key and tier, writing included (docs/internals/engine.md).
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from brainctl.engine.format.index_entry import DELETED, SHIFT, over
from brainctl.engine.index.log_coverage import Superseded
from brainctl.engine.index.run_reader import Run

FANOUT = 4
"""Runs of about one size that are merged."""
_PAGE = 256
"""Keys of each run that one step of merging takes, at least."""


def pick_runs(entries: Sequence[int]) -> tuple[int, int] | None:
    """Return which runs to merge, as the first place and the place after the last; None when there are none.

    Runs of one tier differ in size by less than FANOUT times. Once FANOUT of a tier follow each other, but for smaller
    ones in between, they become one. So a key is written again once per tier, and there are few runs.

    Args:
        entries: The number of entries of each run, newest first.
    """
    tiers = [count.bit_length() // (FANOUT.bit_length() - 1) for count in entries]
    for tier in sorted(set(tiers)):
        at = 0
        for small, group in groupby(tiers, tier.__ge__):
            stretch = list(group)
            if small and stretch.count(tier) >= FANOUT:
                return at + stretch.index(tier), at + len(stretch)
            at += len(stretch)
    return None


def merged(runs: Sequence[Run], drop: Callable[[int], bool] | None) -> Iterator[tuple[list[bytes], list[int]]]:
    """Yield the keys of runs in order, page by page, each with one entry.

    Only a merge with the oldest run may drop tombstones: those of other runs hide entries below.

    Args:
        runs: The runs, newest first.
        drop: Returns whether the compacted tombstone at an address may go; None to drop none.

    Raises:
        StoreDamaged: A block of a run is not sound.
    """
    sources = [_Source(run) for run in runs]
    while True:
        bounds = [source.last for source in sources if source.fill()]
        if not bounds:
            return
        bound = min(bounds)
        entries = _combined([source.take(bound) for source in sources])
        keys = sorted(entries)
        found = list(map(entries.__getitem__, keys))
        if drop is not None and any(entry & DELETED for entry in found):
            keys = [key for key in keys if not (entries[key] & DELETED and drop(entries[key] >> SHIFT))]
            found = list(map(entries.__getitem__, keys))
        if keys:
            yield keys, found


def rows(pages: Iterable[tuple[list[bytes], list[int]]]) -> Iterator[tuple[bytes, int]]:
    """Yield keys and entries one by one."""
    for keys, entries in pages:
        yield from zip(keys, entries, strict=True)


def _combined(levels: Sequence[tuple[list[bytes], list[int]]]) -> dict[bytes, int]:
    """Return one entry for each key of levels, which come newest first."""
    entries: dict[bytes, int] = {}
    for keys, found in reversed(levels):
        if entries.keys().isdisjoint(keys):  # nothing to combine: one call instead of a loop
            entries.update(zip(keys, found, strict=True))
            continue
        for key, entry in zip(keys, found, strict=True):
            below = entries.get(key)
            entries[key] = entry if below is None else over(entry, below)
    return entries


class _Source:
    """The keys of one run that wait to be merged."""

    def __init__(self, run: Run) -> None:
        self._leaves = run.leaves()
        self._keys: list[bytes] = []
        self._entries: list[int] = []

    @property
    def last(self) -> bytes:
        """Return the largest key that was read from the run and is not merged yet."""
        return self._keys[-1]

    def fill(self) -> bool:
        """Read keys until _PAGE of them wait or the run ends; return False when none are left.

        Raises:
            StoreDamaged: A block of the run is not sound.
        """
        while len(self._keys) < _PAGE and (leaf := next(self._leaves, None)) is not None:
            self._keys += leaf.keys
            self._entries += leaf.numbers
        return bool(self._keys)

    def take(self, bound: bytes) -> tuple[list[bytes], list[int]]:
        """Remove and return the keys up to `bound` that wait, and their entries."""
        end = bisect_right(self._keys, bound)
        taken = self._keys[:end], self._entries[:end]
        del self._keys[:end], self._entries[:end]
        return taken


def still_held(noted: Superseded, compacted: int, held: Callable[[int], bool]) -> Superseded:
    """Return what was superseded, without what a compaction has passed and reclaim has removed.

    Args:
        noted: The versions and tombstones.
        compacted: The compacted revision.
        held: Returns whether the record at an address still exists.
    """
    return Superseded(
        *_kept(noted.revisions, noted.addresses, compacted, held),
        *_kept(noted.grave_revisions, noted.graves, compacted, held),
    )


def _kept(
    revisions: "array[int]", addresses: "array[int]", compacted: int, held: Callable[[int], bool]
) -> tuple["array[int]", "array[int]"]:
    passed = bisect_right(revisions, compacted)
    places = [at for at in range(passed) if held(addresses[at])]
    if len(places) == passed:
        return revisions, addresses
    kept = array("Q", map(revisions.__getitem__, places)), array("Q", map(addresses.__getitem__, places))
    return kept[0] + revisions[passed:], kept[1] + addresses[passed:]
