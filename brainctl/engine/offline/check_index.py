"""Verify that the index on the disk says what the log says."""

from collections.abc import Iterator, Sequence

from brainctl.engine.format.index_entry import DELETED, LEASED, SHIFT
from brainctl.engine.format.record import header_of, key_of
from brainctl.engine.format.run_header import START, OutdatedRun
from brainctl.engine.index.key_index import KeyIndex
from brainctl.engine.index.log_coverage import LogCoverage
from brainctl.engine.index.run_merge import merged, rows
from brainctl.engine.index.run_reader import Run
from brainctl.engine.log.manifest import Listing
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK
from brainctl.engine.recovery.recovered import Recovered
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import StoreDamaged

_RANGES = 64
"""The number of ranges that are counted."""


def check_runs(directory: str, fs: FileSystem, listing: Listing, state: Recovered) -> Iterator[str]:
    """Yield what is wrong with the runs: by themselves, beside each other, and beside the log, which `state` holds."""
    try:
        runs = [Run.open(directory, fs, listing.store, number) for number in listing.runs]
        covered = runs[0].covered() if runs else LogCoverage()
        for run in runs:
            for _ in run.prove():
                pass
        if runs:
            entries = dict(rows(merged(runs, None)))
            yield from (f"{runs[0].path}: {finding} (offset {START})" for finding in _beside(runs, entries))
            yield from (f"{runs[0].path}: {finding} (offset {START})" for finding in _log(state, entries, covered))
    except OutdatedRun:
        return  # the next opening builds the index from the log
    except StoreDamaged as damage:
        yield str(damage)


def _beside(runs: Sequence[Run], entries: dict[bytes, int]) -> Iterator[str]:
    """Yield ways into the runs (filters, fences, gains, the list of leased keys) that do not lead to what they hold."""
    index = KeyIndex(None, runs)
    for key, entry in entries.items():
        found = index.find(key) or 0
        if found >> SHIFT != entry >> SHIFT:
            yield f"a lookup of {key!r} finds {found >> SHIFT} instead of {entry >> SHIFT}"
    leased = [key for key, entry in entries.items() if entry & LEASED]
    if list(index.leased()) != leased:
        yield "the runs do not list the keys that have a lease"
    live = [key for key, entry in entries.items() if not entry & DELETED]
    if len(index) != len(live):
        yield f"the gains add up to {len(index)} keys, and {len(live)} are live"
    for at in range(0, len(live), len(live) // _RANGES + 1):
        if index.count(live[at], None) != len(live) - at:
            yield f"the gains from {live[at]!r} on add up to {index.count(live[at], None)} keys of {len(live) - at}"


def _log(state: Recovered, entries: dict[bytes, int], covered: LogCoverage) -> Iterator[str]:
    """Yield keys of which the runs say something else than the log.

    Keys that changed behind the place that the runs cover do not count.
    """
    place = covered.segment << OFFSET_BITS | covered.offset
    known = {key: entry >> SHIFT for key, entry in entries.items() if not entry & DELETED}
    for key, address in zip(*state.index.live(b"", None), strict=True):
        given = known.pop(key, None)
        if given != address and address < place:
            yield f"the runs give {given} as the address of {key!r}, not {address}"
    for key, address in known.items():
        if state.index.newest(key) < place:
            yield f"the runs give {address} as the address of {key!r}, which is gone"
    for key, entry in entries.items():
        yield from _record(state, key, entry)


def _record(state: Recovered, key: bytes, entry: int) -> Iterator[str]:
    """Yield that an entry leads to a version of another key, or errs about its lease or its being a tombstone."""
    address = entry >> SHIFT
    part = state.segments.get(address >> OFFSET_BITS)
    if part is None or not part.has(address & OFFSET_MASK):
        return  # it was replaced, and reclaim has taken it
    record = part.record(address & OFFSET_MASK)
    header = header_of(record)
    if key_of(record) != key:
        yield f"the runs give the address of another key for {key!r}"
    elif bool(entry & DELETED) == bool(header.version) or bool(entry & LEASED) != bool(header.lease):
        yield f"what the runs say of {key!r} is not what its version says"
