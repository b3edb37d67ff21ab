"""Opening a store: reads its segments in order and builds what the engine keeps in memory.

Whatever the process or the machine was doing when it stopped, this is the one way in; a clean close leaves nothing
that it would need.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct

from crc32c import crc32c

from brainctl.engine import entry, frame, segment, tear
from brainctl.engine.entry import DELETED, GAIN_MASK, LEASED, NEW, NONE, SHIFT
from brainctl.engine.files import FileSystem
from brainctl.engine.frame import BatchHeader
from brainctl.engine.garbage import Garbage
from brainctl.engine.index import KeyIndex
from brainctl.engine.manifest import Listing, segment_name
from brainctl.engine.prepared import LogEnd
from brainctl.engine.record import HEADER_SIZE, IMPORTED, META_SET, OVERHEAD, PUT, TOMBSTONE, key_offset
from brainctl.engine.run import Covered, Run, SegmentState
from brainctl.engine.segment import DATA, EXTENT_SIZE, OFFSET_BITS, Extents, Segment
from brainctl.errors import StoreDamaged

_FIELDS = Struct("<I4xQ36xIB")
"""length, mod_revision, key length and kind of a record header."""
_VERSION = Struct("<I4xQ8xQqQ4xIB")
"""length, mod_revision, version, lease, previous address, key length and kind of a record header."""


@dataclass(slots=True)
class Recovered:
    """A store as its files hold it."""

    segments: dict[int, Segment] = field(default_factory=dict)
    """Those with something in them."""
    entries: dict[bytes, int] = field(default_factory=dict)
    """What the delta of the index is made of, while segments are read."""
    read: int = 0
    """How many versions have been read."""
    covered: Covered | None = None
    """What the runs have; None when there are none."""
    index: KeyIndex = field(default_factory=KeyIndex)
    garbage: Garbage = field(default_factory=Garbage)
    end: LogEnd = field(default_factory=LogEnd)


def recover(
    directory: str, fs: FileSystem, listing: Listing, runs: Sequence[Run] = (), *, repair: bool = True
) -> Recovered:
    """Read a store: what lies behind the place in the log up to which `runs`, newest first, cover it; all of it when
    there are none. StoreDamaged, which names file and offset; OSError.

    An unfinished write at the end is cut when `repair` is set, which writes zeros to the file; otherwise it is passed
    over, and nothing is written.
    """
    state = Recovered(garbage=Garbage(runs), index=KeyIndex(None, runs))
    covered = _begin(state, listing, runs[0]) if runs else Covered()
    torn: tuple[Segment, int] | None = None
    for number in sorted(listing.segments):
        part = _open(directory, fs, listing, number, write=repair)
        state.end.number = number
        if number < covered.segment:
            _pass_over(state, part, covered.segments.get(number))
            continue
        if part.extents is not None:
            _read_packed(state, part)
            continue
        if number == covered.segment:
            _join(state, part, covered)
        stop = _read_log(state, part)
        if part.sequences == (0, 0):
            state.end.spares.append(part)
        torn = _check_end(state, part, stop, torn)
    if torn is not None and repair:
        tear.cut(*torn)
    for part in state.segments.values():
        if part is not state.end.tail:
            part.close()
    state.index = KeyIndex(state.entries, runs)
    return state


def _check_end(
    state: Recovered, part: Segment, stop: int, torn: tuple[Segment, int] | None
) -> tuple[Segment, int] | None:
    """The unfinished write that the log ends in, if there is one; StoreDamaged when it is no such thing."""
    clean = tear.is_clean(part.mapped, stop, part.seed, stale=part.stale)
    if torn is not None and (part.sequences != (0, 0) or not clean):
        raise StoreDamaged(f"{torn[0].path}: the batch at offset {torn[1]} is damaged: {part.path} came after it")
    if clean:
        return torn
    tear.check_torn(part.mapped, stop, state.end.sequence + 1, part.seed, part.path, stale=part.stale)
    return part, stop


# -- what runs cover --------------------------------------------------------------------------------------------


def _begin(state: Recovered, listing: Listing, newest: Run) -> Covered:
    """Start from what the newest run says; StoreDamaged when that does not fit the segments that there are."""
    state.covered = covered = newest.covered()
    if listing.segments.get(covered.segment) != 0 or covered.segment not in covered.segments:
        where = newest.header.sections[2].offset
        raise StoreDamaged(f"{newest.path}: the segment of its place in the log is not there (offset {where})")
    end = state.end
    end.revision, end.compacted, end.sequence = covered.revision, covered.compacted, covered.sequence
    end.meta = dict(covered.meta)
    return covered


def _pass_over(state: Recovered, part: Segment, known: SegmentState | None) -> None:
    """Take in a segment whose records runs have, without reading them."""
    if part.extents is None and known is None:
        state.end.obsolete.append(part)
        return
    state.segments[part.number] = part
    part.unmarked = True
    if part.extents is not None:
        part.extents = Extents(part.read_extents)
    if known is not None and known.generation == part.generation:
        part.sequences, part.end = (known.first, known.last), known.end
        part.record_bytes, part.unswept_bytes = known.record_bytes, known.dead_bytes


def _join(state: Recovered, part: Segment, covered: Covered) -> None:
    """Take in the segment in which the place is that runs cover; it is read from there on."""
    known = covered.segments[part.number]
    part.sequences, part.record_bytes = (known.first, known.last), known.record_bytes
    part.unswept_bytes, part.unmarked = known.dead_bytes, True
    part.end = state.end.offset = covered.offset
    state.segments[part.number] = state.end.tail = part


def _open(directory: str, fs: FileSystem, listing: Listing, number: int, *, write: bool) -> Segment:
    """A segment with its file checked against its header; StoreDamaged."""
    generation = listing.segments[number]
    path = f"{directory}/{segment_name(number, generation)}"
    part = Segment(number, generation, path, frame.salt(listing.store, number))
    try:
        file = fs.open(part.path, write=write)
    except FileNotFoundError:
        raise StoreDamaged(f"{part.path}: the file is missing (offset 0)") from None
    part.file = file
    header = segment.unpack_header(file.read(DATA, 0), part.path)
    kinds = (segment.PACKED,) if generation else (segment.LOG, segment.RECYCLED)
    named = (header.number, header.generation, header.store) == (number, generation, listing.store)
    if header.kind not in kinds or not named:
        raise StoreDamaged(f"{part.path}: the header at offset 0 is that of another segment")
    part.size = file.size()
    if part.size != header.end:
        raise StoreDamaged(f"{part.path}: {part.size} bytes long instead of {header.end} (offset {part.size})")
    part.map = file.map()
    part.stale = header.kind == segment.RECYCLED
    part.written = part.size if part.stale else 0
    if header.kind == segment.PACKED:
        part.extents = Extents()
        part.end = header.end
        part.sequences = (header.first, header.last)
        part.record_bytes = header.end - DATA - header.extents * EXTENT_SIZE
    return part


# -- log segments -----------------------------------------------------------------------------------------------


def _read_log(state: Recovered, part: Segment) -> int:
    """Take in the sound batches of a segment; where they end. StoreDamaged when one is missing in between."""
    end = state.end
    follows = bool(part.sequences[0]) or part.number - 1 in state.segments
    for offset, header in sound_batches(part, part.end):
        if header.sequence <= end.sequence or (follows and header.sequence != end.sequence + 1):
            raise StoreDamaged(
                f"{part.path}: batch {header.sequence} at offset {offset} does not follow batch {end.sequence}"
            )
        follows = True
        if not part.sequences[0]:
            state.segments[part.number] = part
            end.tail = part
            end.obsolete, end.spares = end.obsolete + end.spares, []
        part.sequences = (part.sequences[0] or header.sequence, header.sequence)
        part.mark(header.first, offset)
        part.end = end.offset = offset + header.span
        end.sequence, end.revision, end.compacted = header.sequence, header.revision, header.compacted
        if header.flags & frame.SNAPSHOT:
            end.meta.clear()
        _take_batch(state, part, offset + frame.HEADER_SIZE, header)
    return part.end


def sound_batches(part: Segment, offset: int = DATA) -> Iterator[tuple[int, BatchHeader]]:
    """(offset, header) of the batches of a LOG segment from `offset` on, up to the first that is not sound."""
    data, seed = part.mapped, part.seed
    while offset + frame.HEADER_SIZE <= part.size:
        header = frame.unpack(data[offset : offset + frame.HEADER_SIZE], seed)
        if header is None:
            return
        place = offset + frame.HEADER_SIZE
        if crc32c(data[place : place + header.length], seed) != header.crc:
            return
        yield offset, header
        offset += header.span


def _take_batch(state: Recovered, part: Segment, place: int, header: BatchHeader) -> None:
    data = part.mapped
    at = _take_versions(state, part, place, place + header.length, 0, header.revision)
    end = place + header.length
    meta = state.end.meta
    while at < end:
        length, _revision, name_length, kind = _FIELDS.unpack_from(data, at)
        name = data[at + HEADER_SIZE : at + HEADER_SIZE + name_length]
        if kind == META_SET:
            meta[name] = data[at + HEADER_SIZE + name_length : at + length - 4]
        else:
            meta.pop(name, None)
        at += length


def _take_versions(state: Recovered, part: Segment, at: int, end: int, shift: int, revision: int) -> int:
    """Index the versions of keys from offset `at` on; where the first other record begins, or `end`.

    `shift` is the distance from a record's offset to its address; `revision` is the store's, for imported versions.
    """
    data, fields, first = part.mapped, _VERSION.unpack_from, at
    entries, below, count = state.entries, state.index.below if state.covered else None, state.read
    supersede, bury = state.garbage.supersede, state.garbage.bury
    base = (part.number << OFFSET_BITS) + shift
    skip = HEADER_SIZE + 2
    while at < end:
        length, mod, version, lease, previous, key_length, kind = fields(data, at)
        if kind >= META_SET:
            break
        key_at = at + skip if key_length < 128 else at + HEADER_SIZE + key_offset(key_length)
        key = data[key_at : key_at + key_length]
        old = entries.get(key)
        if old is None and below is not None:
            if kind == IMPORTED:
                found = below(key)
                old = entry.seen_above(found) if found else None
            elif version != 1:
                old = previous << SHIFT | NONE
        if kind == TOMBSTONE:
            bury(mod, base + at)
            entries[key] = entry.delete(old, base + at)
        elif old is None:
            entries[key] = base + at << SHIFT | (NEW | LEASED if lease else NEW)
        elif old & DELETED:
            entries[key] = entry.put(old, base + at, LEASED if lease else 0)
        else:
            entries[key] = base + at << SHIFT | old & GAIN_MASK | (LEASED if lease else 0)
        if old is not None and not old & DELETED:
            supersede(revision if kind == IMPORTED else mod, old >> SHIFT)
        count += 1
        at += length
    state.read = count
    part.record_bytes += at - first
    return at


# -- packed segments --------------------------------------------------------------------------------------------


def _read_packed(state: Recovered, part: Segment) -> None:
    """Take in what reclaim kept of a segment; StoreDamaged."""
    if part.sequences[0] <= state.end.sequence:
        first, last = part.sequences[0], state.end.sequence
        raise StoreDamaged(f"{part.path}: batch {first} does not follow batch {last} (offset 0)")
    if state.covered is not None:
        raise StoreDamaged(f"{part.path}: packed before its records were in a .run file (offset 0)")
    state.segments[part.number] = part
    part.record_bytes = 0
    state.end.sequence = part.sequences[1]
    extents = part.extents
    assert extents is not None
    for place, header in sound_extents(part):
        extents.add(header.address, place, header.length)
        _length, revision, _key_length, kind = _FIELDS.unpack_from(part.mapped, place)
        if kind in (PUT, TOMBSTONE):
            part.mark(revision, place - EXTENT_SIZE)
        _take_versions(state, part, place, place + header.length, header.address - place, 0)


def sound_extents(part: Segment) -> Iterator[tuple[int, segment.ExtentHeader]]:
    """(offset of the first record, header) of each extent of a PACKED segment; StoreDamaged."""
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
