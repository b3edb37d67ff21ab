"""Read the log into the memtable when a store is opened: all of it, or what no run covers."""

from collections.abc import Callable

from brainctl.engine.format import batch, batch_reader, index_entry
from brainctl.engine.format.batch import HEADER_SIZE
from brainctl.engine.format.extent import EXTENT_SIZE
from brainctl.engine.format.index_entry import DELETED, GAIN_MASK, LEASED, NEW, NONE, SHIFT
from brainctl.engine.format.record import HEADER_SIZE as RECORD
from brainctl.engine.format.record import IMPORTED, META_SET, PUT, TOMBSTONE, key_offset, read_indexed, read_named
from brainctl.engine.format.segment_header import DATA
from brainctl.engine.log.segment import OFFSET_BITS, Segment
from brainctl.engine.recovery.recovered import Recovered
from brainctl.errors import IndexDamaged, StoreDamaged

BATCH_RECORDS = 3
"""Records that take as long to read as a batch beside those that it has."""


def read_log(state: Recovered, part: Segment) -> int:
    """Take in the intact batches of a segment, and return the offset where they end.

    Raises:
        StoreDamaged: a batch is missing in between.
    """
    end, index = state.end, _indexer(state, part)
    follows = bool(part.sequences[0]) or part.number - 1 in state.segments
    for offset, header in batch_reader.batches(part.mapped, part.seed, part.end, part.size, records=True):
        sequence = header.sequence
        if sequence != end.sequence + 1 and (follows or sequence <= end.sequence):
            raise StoreDamaged(f"{part.path}: batch {sequence} at offset {offset} does not follow batch {end.sequence}")
        follows = True
        if not part.sequences[0]:
            part.sequences = (sequence, sequence)
            state.segments[part.number] = part
            end.tail = part
            end.obsolete, end.spares = end.obsolete + end.spares, []
        part.mark(header.first, offset)
        end.sequence, end.revision, end.compacted = sequence, header.revision, header.compacted
        part.end = end.offset = offset + header.span
        if header.flags & batch.SNAPSHOT:
            end.meta.clear()
        place = offset + HEADER_SIZE
        at = index(place, place + header.length, 0, header.revision)
        if header.flags & batch.HAS_META:
            _apply_metadata(part, at, place + header.length, end.meta)
        state.read += BATCH_RECORDS
    if part.sequences[0]:
        part.sequences = (part.sequences[0], end.sequence)
    return part.end


def _apply_metadata(part: Segment, at: int, end: int, meta: dict[bytes, bytes]) -> None:
    """Apply the small records of a batch, which lie between two offsets."""
    data = part.mapped
    while at < end:
        length, _revision, name_length, kind = read_named(data, at)
        name = data[at + RECORD : at + RECORD + name_length]
        if kind == META_SET:
            meta[name] = data[at + RECORD + name_length : at + length - 4]
        else:
            meta.pop(name, None)
        at += length


def _indexer(state: Recovered, part: Segment) -> Callable[[int, int, int, int], int]:
    """Return a function that indexes the versions of keys in a segment.

    It reads from one offset up to another, or up to the first record of another kind, and returns where it has stopped.
    Its third argument is the distance from a record's offset to its address, its last one the store's revision, for
    imported versions. All that it uses is bound to local names once per segment: it runs for each record of an opening.
    """
    data, fields = part.mapped, read_indexed
    entries, below = state.entries, state.index.below if state.covered else None
    get, supersede, bury = entries.get, state.garbage.supersede, state.garbage.bury
    number, skip = part.number << OFFSET_BITS, RECORD + 2

    def index(at: int, end: int, shift: int, revision: int) -> int:
        first, base, count = at, number + shift, 0
        while at < end:
            length, mod, version, lease, previous, key_length, kind = fields(data, at)
            if kind >= META_SET:
                break
            key_at = at + skip if key_length < 128 else at + RECORD + key_offset(key_length)
            key = data[key_at : key_at + key_length]
            old = get(key)
            if old is None and below is not None and (version != 1 or kind == IMPORTED):
                old = _seen(below(key)) if kind == IMPORTED else previous << SHIFT | NONE
            if kind == TOMBSTONE:
                bury(mod, base + at)
                entries[key] = index_entry.delete(old, base + at)
            elif old is None:
                entries[key] = base + at << SHIFT | (NEW | LEASED if lease else NEW)
            elif old & DELETED:
                entries[key] = index_entry.put(old, base + at, LEASED if lease else 0)
            else:
                entries[key] = base + at << SHIFT | old & GAIN_MASK | (LEASED if lease else 0)
            if old is not None and not old & DELETED:
                supersede(revision if kind == IMPORTED else mod, old >> SHIFT)
            count += 1
            at += length
        state.read += count
        part.record_bytes += at - first
        return at

    return index


def _seen(found: int | None) -> int | None:
    """Return the entry that this level starts from when the levels below have `found`, None when they have none."""
    return index_entry.seen_above(found) if found else None


# -- packed segments --------------------------------------------------------------------------------------------


def read_packed(state: Recovered, part: Segment) -> None:
    """Take in what reclaim kept of a segment.

    Raises:
        StoreDamaged: an extent is damaged, or the segment does not fit the ones before.
    """
    if part.sequences[0] <= state.end.sequence:
        first, last = part.sequences[0], state.end.sequence
        raise StoreDamaged(f"{part.path}: batch {first} does not follow batch {last} (offset 0)")
    if state.covered is not None:
        raise IndexDamaged(f"{part.path}: packed before its records were in a .run file (offset 0)")
    state.segments[part.number] = part
    part.record_bytes = 0
    state.end.sequence = part.sequences[1]
    extents, index = part.extents, _indexer(state, part)
    assert extents is not None
    for offset, header in batch_reader.extents(part.mapped, part.seed, DATA, part.end, records=True, path=part.path):
        place = offset + EXTENT_SIZE
        extents.add(header.address, place, header.length)
        _length, revision, _key_length, kind = read_named(part.mapped, place)
        if kind in (PUT, TOMBSTONE):
            part.mark(revision, offset)
        index(place, place + header.length, header.address - place, 0)
