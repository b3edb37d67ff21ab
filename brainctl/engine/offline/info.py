"""Report what a store holds and what takes its space, in numbers."""

import os
from typing import NamedTuple

from brainctl.engine.log import manifest
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK
from brainctl.engine.recovery.recover import recover
from brainctl.engine.recovery.recovered import Recovered
from brainctl.engine.vfs.filesystem import FileSystem, OsFileSystem
from brainctl.errors import StoreDamaged


class SegmentInfo(NamedTuple):
    """One segment file; sizes in bytes."""

    number: int
    generation: int
    """0 for a log segment, raised by 1 each time that it was rewritten."""
    file: int
    """Size of the file."""
    used: int
    """The offset up to which it has been written."""
    first_batch: int
    last_batch: int
    live: int
    """Bytes of the newest versions of keys."""
    history: int
    """Bytes of older versions, and tombstones, that can still be read."""
    dead: int
    """Bytes of what compaction has left to reclaim."""


class StoreInfo(NamedTuple):
    """A whole store."""

    revision: int
    compacted: int
    keys: int
    """The number of live keys."""
    records: dict[bytes, bytes]
    """The small records by name."""
    segments: list[SegmentInfo]
    """The segments, oldest first."""


def read_info(directory: str | os.PathLike[str], fs: FileSystem | None = None) -> StoreInfo:
    """Read the store in `directory` without changing it, and return its numbers.

    Takes no lock: of a store that is being written it shows a moment, or fails as if it were damaged.

    Raises:
        StoreDamaged: the store is damaged, or there is none.
        OSError: a file cannot be read.
    """
    fs = fs or OsFileSystem()
    directory = os.fspath(directory)
    listing = manifest.load(directory, fs)
    if listing is None:
        raise StoreDamaged(f"{directory}/{manifest.NAME}: the file is missing (offset 0)")
    state = recover(directory, fs, listing, repair=False)
    for part in state.segments.values():
        part.close()
    return describe(state)


def describe(state: Recovered) -> StoreInfo:
    """Return the numbers of a store that has been read."""
    end = state.end
    state.garbage.sweep(end.compacted, state.segments)
    live = dict.fromkeys(state.segments, 0)
    _keys, addresses = state.index.live(b"", None)
    for address in addresses:
        number = address >> OFFSET_BITS
        live[number] += state.segments[number].length_at(address & OFFSET_MASK)
    segments = []
    for number in sorted(state.segments):
        part = state.segments[number]
        dead = part.dead_bytes + part.grave_bytes
        history = part.record_bytes - dead - live[number]
        first, last = part.sequences
        info = SegmentInfo(number, part.generation, part.size, part.end, first, last, live[number], history, dead)
        segments.append(info)
    return StoreInfo(end.revision, end.compacted, len(state.index), dict(end.meta), segments)
