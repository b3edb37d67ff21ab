"""Makes one run of several, or of a delta: pure of I/O."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import groupby, repeat

from brainctl.engine.entry import DELETED, SHIFT, over
from brainctl.engine.run import Run, Superseded

FANOUT = 4
"""Runs of about one size that are merged."""


def pick_runs(entries: Sequence[int]) -> tuple[int, int] | None:
    """Which of the runs, newest first and with so many entries each, to merge: from, to; None when none.

    Runs of one tier differ in size by less than FANOUT times. Once FANOUT of a tier follow each other, but for smaller
    ones in between, they become one. So a key is written again once per tier, and there are few runs.
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


def merged(runs: Sequence[Run], drop: Callable[[int], bool] | None) -> Iterator[tuple[bytes, int]]:
    """The keys of runs, newest first, each with one entry; `drop` tells which compacted tombstones may go.

    Only the oldest run may lose entries: those of other runs hide what lies below. StoreDamaged.
    """
    rows = merge(*(_rows(run, age) for age, run in enumerate(runs)))
    last: bytes | None = None
    entry = 0
    for key, _age, found in rows:
        if key == last:
            entry = over(entry, found)
            continue
        if last is not None and not (drop and entry & DELETED and drop(entry >> SHIFT)):
            yield last, entry
        last, entry = key, found
    if last is not None and not (drop and entry & DELETED and drop(entry >> SHIFT)):
        yield last, entry


def _rows(run: Run, age: int) -> Iterator[tuple[bytes, int, int]]:
    for leaf in run.leaves():
        yield from zip(leaf.keys, repeat(age), leaf.numbers, strict=False)


def still_held(noted: Superseded, compacted: int, held: Callable[[int], bool]) -> Superseded:
    """What was superseded, without what compaction has passed and reclaim has removed."""
    kept = Superseded()
    for revisions, addresses, to_revisions, to_addresses in (
        (noted.revisions, noted.addresses, kept.revisions, kept.addresses),
        (noted.grave_revisions, noted.graves, kept.grave_revisions, kept.graves),
    ):
        _keep(revisions, addresses, compacted, held, to_revisions, to_addresses)
    return kept


def _keep(
    revisions: "array[int]",
    addresses: "array[int]",
    compacted: int,
    held: Callable[[int], bool],
    to_revisions: "array[int]",
    to_addresses: "array[int]",
) -> None:
    for revision, address in zip(revisions, addresses, strict=True):
        if revision > compacted or held(address):
            to_revisions.append(revision)
            to_addresses.append(address)
