"""Read the log into the memtable when a store is opened: all of it, or what no run covers."""

from collections.abc import Callable, Iterator
from struct import Struct

from crc32c import crc32c

from brainctl.engine.format import batch, index_entry
from brainctl.engine.format.batch import HEADER_SIZE, BatchHeader
from brainctl.engine.format.index_entry import DELETED, GAIN_MASK, LEASED, NEW, NONE, SHIFT
from brainctl.engine.format.record import HEADER_SIZE as RECORD
from brainctl.engine.format.record import IMPORTED, META_SET, OVERHEAD, PUT, TOMBSTONE, key_offset
from brainctl.engine.log import segment
from brainctl.engine.log.segment import DATA, EXTENT_SIZE, OFFSET_BITS, Segment
from brainctl.engine.recovery.recovered import Recovered
from brainctl.errors import StoreDamaged

BATCH_RECORDS = 3
"""Records that take as long to read as a batch beside those that it has."""
_FIELDS = Struct("<I4xQ36xIB")
"""length, mod_revision, key length and kind of a record header."""
_VERSION = Struct("<I4xQ8xQqQ4xIB")
"""length, mod_revision, version, lease, previous address, key length and kind of a record header."""


def read_log(state: Recovered, part: Segment) -> int:
    """Take in the intact batches of a segment, and return the offset where they end.

    Raises:
        StoreDamaged: a batch is missing in between.
    """
    end, take = state.end, _taker(state, part)
    follows = bool(part.sequences[0]) or part.number - 1 in state.segments
    for offset, header in sound_batches(part, part.end):
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
        at = take(place, place + header.length, 0, header.revision)
        if header.flags & batch.HAS_META:
            _take_small(part, at, place + header.length, end.meta)
        state.read += BATCH_RECORDS
    if part.sequences[0]:
        part.sequences = (part.sequences[0], end.sequence)
    return part.end


def sound_batches(part: Segment, offset: int = DATA) -> Iterator[tuple[int, BatchHeader]]:
    """Yield (offset, header) of the batches of a LOG segment from `offset` on, up to the first that is damaged."""
    data, seed, last = part.mapped, part.seed, part.size - HEADER_SIZE
    unpack, check = batch.unpack, crc32c
    while offset <= last:
        place = offset + HEADER_SIZE
        header = unpack(data[offset:place], seed)
        if header is None or check(data[place : place + header.length], seed) != header.crc:
            return
        yield offset, header
        offset += header.span


def _take_small(part: Segment, at: int, end: int, meta: dict[bytes, bytes]) -> None:
    """Take in the small records of a batch, which lie between two offsets."""
    data = part.mapped
    while at < end:
        length, _revision, name_length, kind = _FIELDS.unpack_from(data, at)
        name = data[at + RECORD : at + RECORD + name_length]
        if kind == META_SET:
            meta[name] = data[at + RECORD + name_length : at + length - 4]
        else:
            meta.pop(name, None)
        at += length


def _taker(state: Recovered, part: Segment) -> Callable[[int, int, int, int], int]:
    """Return a function that takes in the versions of keys in a segment.

    It reads from one offset up to another, or up to the first record of another kind, and returns where it has stopped.
    Its third argument is the distance from a record's offset to its address, its last one the store's revision, for
    imported versions. All that it uses is bound to local names once per segment: it runs for each record of an opening.
    """
    data, fields = part.mapped, _VERSION.unpack_from
    entries, below = state.entries, state.index.below if state.covered else None
    get, supersede, bury = entries.get, state.garbage.supersede, state.garbage.bury
    number, skip = part.number << OFFSET_BITS, RECORD + 2

    def take(at: int, end: int, shift: int, revision: int) -> int:
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

    return take


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
        raise StoreDamaged(f"{part.path}: packed before its records were in a .run file (offset 0)")
    state.segments[part.number] = part
    part.record_bytes = 0
    state.end.sequence = part.sequences[1]
    extents, take = part.extents, _taker(state, part)
    assert extents is not None
    for place, header in sound_extents(part):
        extents.add(header.address, place, header.length)
        _length, revision, _key_length, kind = _FIELDS.unpack_from(part.mapped, place)
        if kind in (PUT, TOMBSTONE):
            part.mark(revision, place - EXTENT_SIZE)
        take(place, place + header.length, header.address - place, 0)


def sound_extents(part: Segment) -> Iterator[tuple[int, segment.ExtentHeader]]:
    """Yield (offset of the first record, header) of each extent of a PACKED segment.

    Raises:
        StoreDamaged: an extent is damaged.
    """
    data, seed, offset, address = part.mapped, part.seed, DATA, DATA
    while offset < part.end:
        header = segment.unpack_extent(data[offset : offset + EXTENT_SIZE], seed)
        place = offset + EXTENT_SIZE
        if header is None or header.address < address or header.length < OVERHEAD:
            raise StoreDamaged(f"{part.path}: the extent header at offset {offset} is damaged")
        if crc32c(data[place : place + header.length], seed) != header.crc:
            raise StoreDamaged(f"{part.path}: the records of the extent at offset {offset} are damaged")
        yield place, header
        address = header.address + header.length
        offset = place + header.length
