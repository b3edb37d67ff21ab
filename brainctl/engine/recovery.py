"""Opening a store: reads its segments in order and builds what the engine keeps in memory.

Whatever the process or the machine was doing when it stopped, this is the one way in; a clean close leaves nothing
that it would need.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct

from crc32c import crc32c

from brainctl.engine import frame, segment, tear
from brainctl.engine.files import FileSystem
from brainctl.engine.frame import BatchHeader
from brainctl.engine.garbage import Garbage
from brainctl.engine.index import KeyIndex
from brainctl.engine.manifest import Listing, segment_name
from brainctl.engine.record import HEADER_SIZE, IMPORTED, META_SET, OVERHEAD, PUT, TOMBSTONE, key_offset
from brainctl.engine.segment import DATA, EXTENT_SIZE, OFFSET_BITS, Extents, Segment
from brainctl.engine.writer import LogEnd
from brainctl.errors import StoreDamaged

_FIELDS = Struct("<I4xQ36xIB")
"""length, mod_revision, key length and kind of a record header."""


@dataclass(slots=True)
class Recovered:
    """A store as its files hold it."""

    segments: dict[int, Segment] = field(default_factory=dict)
    """Those with something in them."""
    newest: dict[bytes, int] = field(default_factory=dict)
    """What the index is made of, while segments are read."""
    deleted: set[bytes] = field(default_factory=set)
    index: KeyIndex = field(default_factory=KeyIndex)
    garbage: Garbage = field(default_factory=Garbage)
    end: LogEnd = field(default_factory=LogEnd)


def recover(directory: str, fs: FileSystem, listing: Listing, *, repair: bool = True) -> Recovered:
    """Read a store. StoreDamaged, which names file and offset; OSError.

    An unfinished write at the end is cut when `repair` is set, which writes zeros to the file; otherwise it is passed
    over, and nothing is written.
    """
    state = Recovered()
    torn: tuple[Segment, int] | None = None
    for number in sorted(listing.segments):
        part = _open(directory, fs, listing, number, write=repair)
        state.end.number = number
        if part.extents is not None:
            _read_packed(state, part)
            continue
        stop = _read_log(state, part)
        if part.sequences == (0, 0):
            state.end.spares.append(part)
        clean = tear.is_clean(part.mapped, stop)
        if torn is not None and (part.sequences != (0, 0) or not clean):
            raise StoreDamaged(f"{torn[0].path}: the batch at offset {torn[1]} is damaged: {part.path} came after it")
        if not clean:
            tear.check_torn(part.mapped, stop, state.end.sequence + 1, part.seed, part.path)
            torn = (part, stop)
    if torn is not None and repair:
        file = torn[0].file
        assert file is not None
        tear.cut(file, torn[0].mapped, torn[1])
    for part in state.segments.values():
        if part is not state.end.tail:
            part.close()
    state.index = KeyIndex(state.newest, state.deleted)
    return state


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
    kind = segment.PACKED if generation else segment.LOG
    if (header.kind, header.number, header.generation, header.store) != (kind, number, generation, listing.store):
        raise StoreDamaged(f"{part.path}: the header at offset 0 is that of another segment")
    part.size = file.size()
    if part.size != header.end:
        raise StoreDamaged(f"{part.path}: {part.size} bytes long instead of {header.end} (offset {part.size})")
    part.map = file.map()
    if kind == segment.PACKED:
        part.extents = Extents()
        part.end = header.end
        part.sequences = (header.first, header.last)
    return part


# -- log segments -----------------------------------------------------------------------------------------------


def _read_log(state: Recovered, part: Segment) -> int:
    """Take in the sound batches of a segment; where they end. StoreDamaged when one is missing in between."""
    end = state.end
    follows = part.number - 1 in state.segments
    for offset, header in sound_batches(part):
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


def sound_batches(part: Segment) -> Iterator[tuple[int, BatchHeader]]:
    """(offset, header) of the batches of a LOG segment, up to the first that is not sound."""
    data, seed, offset = part.mapped, part.seed, DATA
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
    data, fields, first = part.mapped, _FIELDS.unpack_from, at
    newest, deleted = state.newest, state.deleted
    supersede, bury = state.garbage.supersede, state.garbage.bury
    base = (part.number << OFFSET_BITS) + shift
    skip = HEADER_SIZE + 2
    while at < end:
        length, mod, key_length, kind = fields(data, at)
        if kind >= META_SET:
            break
        key_at = at + skip if key_length < 128 else at + HEADER_SIZE + key_offset(key_length)
        key = data[key_at : key_at + key_length]
        old = newest.get(key)
        newest[key] = base + at
        if key in deleted:
            old = None
            deleted.remove(key)
        if kind == TOMBSTONE:
            bury(mod, base + at, key)
            deleted.add(key)
        if old is not None:
            supersede(revision if kind == IMPORTED else mod, old)
        at += length
    part.record_bytes += at - first
    return at


# -- packed segments --------------------------------------------------------------------------------------------


def _read_packed(state: Recovered, part: Segment) -> None:
    """Take in what reclaim kept of a segment; StoreDamaged."""
    if part.sequences[0] <= state.end.sequence:
        first, last = part.sequences[0], state.end.sequence
        raise StoreDamaged(f"{part.path}: batch {first} does not follow batch {last} (offset 0)")
    state.segments[part.number] = part
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
