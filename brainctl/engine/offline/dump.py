"""List every structure in the files of a store, with its place, for checking a file by hand.

Nothing is written, no lock is taken, and damage does not end it. Of a store that is being written it shows a moment.
"""

import mmap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from brainctl.engine.format import index_block as block
from brainctl.engine.format import run_header
from brainctl.engine.format.batch import HAS_META, HEADER_SIZE, SNAPSHOT
from brainctl.engine.format.extent import EXTENT_SIZE
from brainctl.engine.format.file_names import run_name
from brainctl.engine.format.index_entry import DELETED, LEASED, SHIFT, gain
from brainctl.engine.format.record import KIND, META_SET, OVERHEAD, header_of, key_of, small_value
from brainctl.engine.format.run_header import SECTIONS, START
from brainctl.engine.format.segment_header import DATA, unpack_header
from brainctl.engine.index.run_reader import Run
from brainctl.engine.log import manifest
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK
from brainctl.engine.offline.inventory import SegmentFile, StoreInventory, remains
from brainctl.engine.offline.salvage_scan import Batch, Extent, Hole, Piece, Record, Unused, read_file, scan
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import StoreDamaged

KINDS = ("put", "tombstone", "imported", "small-set", "small-remove")
"""The kinds of records, by their number."""
DAMAGED = "damaged"
"""The kind of what is not as it was written."""
Value = int | str | bytes | bool


class Entry(NamedTuple):
    """One structure."""

    file: str
    offset: int
    length: int
    """Bytes; 0 where it is a part of what was named before."""
    kind: str
    fields: Mapping[str, Value]


def place(address: int) -> str:
    """Return an address as segment/offset; 0 for none."""
    return f"{address >> OFFSET_BITS}/{address & OFFSET_MASK}" if address else "0"


def dump(directory: str, fs: FileSystem, only: str = "") -> Iterator[Entry]:
    """Yield all entries of the store in `directory`, or those of the one file `only`.

    Raises:
        StoreDamaged: nothing shows which store it is.
        OSError: a file cannot be read.
    """
    found = remains(directory, fs)
    if only in ("", manifest.NAME):
        yield from _manifest(found)
    for part in found.parts:
        if only in ("", part.name):
            yield from _segment(directory, fs, found.store, part)
    for number in found.listing.runs if found.listing is not None else ():
        if only in ("", run_name(number)):
            yield from _run(directory, fs, found.store, number)


def _manifest(found: StoreInventory) -> Iterator[Entry]:
    """Yield the entries of the manifest."""
    for finding in found.findings:
        yield Entry(manifest.NAME, 0, 0, DAMAGED, {"reason": finding})
    listing = found.listing
    if listing is not None:
        fields = {
            "store": f"{listing.store:016x}",
            "segments": " ".join(f"{number}-{generation}" for number, generation in sorted(listing.segments.items())),
            "runs": " ".join(map(str, listing.runs)),
        }
        yield Entry(manifest.NAME, 0, len(manifest.render(listing)), "manifest", fields)


# -- segments ---------------------------------------------------------------------------------------------------


def _segment(directory: str, fs: FileSystem, store: int, part: SegmentFile) -> Iterator[Entry]:
    """Yield the entries of a segment file."""
    data, lost = read_file(fs, f"{directory}/{part.name}")
    yield _segment_header(data, part.name)
    for first, last in lost:
        yield Entry(part.name, first, last - first, DAMAGED, {"reason": "the device cannot read it"})
    for piece in scan(data, part.kind, part.seed(store)):
        yield _piece(part.name, piece)


def _segment_header(data: bytes, name: str) -> Entry:
    """Return the entry of a segment's header."""
    try:
        header = unpack_header(data[:DATA], name)
    except StoreDamaged as damage:
        return Entry(name, 0, DATA, DAMAGED, {"reason": str(damage)})
    fields = header._asdict() | {"kind": ("log", "packed", "recycled")[header.kind], "store": f"{header.store:016x}"}
    if header.end != len(data):
        return Entry(name, 0, DATA, DAMAGED, {"reason": f"{len(data)} bytes long instead of {header.end}"})
    return Entry(name, 0, DATA, "segment", fields)


def _piece(name: str, piece: Piece) -> Entry:
    match piece:
        case Batch(offset, header):
            flags = [text for bit, text in ((SNAPSHOT, "snapshot"), (HAS_META, "small")) if header.flags & bit]
            fields = {**header._asdict(), "crc": f"{header.crc:08x}", "flags": "+".join(flags) or "0"}
            return Entry(name, offset, HEADER_SIZE, "batch", fields)
        case Extent(offset, extent):
            return Entry(name, offset, EXTENT_SIZE, "extent", {**extent._asdict(), "crc": f"{extent.crc:08x}"})
        case Record(offset, address, data):
            return Entry(name, offset, len(data), KINDS[data[KIND]], _record(address, data))
        case Hole(offset, end, tail):
            reason = "an unfinished write, or damage" if tail else "no sound structure"
            return Entry(name, offset, end - offset, DAMAGED, {"reason": reason})
        case Unused(offset, end):
            return Entry(name, offset, end - offset, "unused", {})


def _record(address: int, data: bytes) -> dict[str, Value]:
    """Return the fields of a record's entry."""
    header = header_of(data)
    if header.kind >= META_SET:
        return {"name": key_of(data), "revision": header.mod_revision, "value": small_value(data)}
    return {
        "key": key_of(data),
        "mod": header.mod_revision,
        "sub": header.sub,
        "create": header.create_revision,
        "version": header.version,
        "lease": header.lease,
        "previous": place(header.previous),
        "written_at": address,
        "kv_bytes": len(data) - OVERHEAD,
    }


# -- runs -------------------------------------------------------------------------------------------------------


def _run(directory: str, fs: FileSystem, store: int, number: int) -> Iterator[Entry]:
    """Yield the entries of a run."""
    name = run_name(number)
    try:
        data, _lost = read_file(fs, f"{directory}/{name}")
        header = run_header.unpack_header(data[:START], name)
    except run_header.OutdatedRun as outdated:
        yield Entry(name, 0, START, "run", {"reason": str(outdated)})
        return
    except (StoreDamaged, FileNotFoundError) as damage:
        yield Entry(name, 0, START, DAMAGED, {"reason": str(damage)})
        return
    fields = {field: value for field, value in header._asdict().items() if field not in ("sections", "store")}
    yield Entry(name, 0, START, "run", fields)
    salt = run_header.salt(store, number)
    try:
        memory = _mapped(data)
        opened = Run(name, header, memory)
        end = header.sections[0].offset
        at = START
        while at < end:
            read = block.unpack(memory, at, salt, name)
            yield from _block(name, at, read)
            at = read.end
        superseded = opened.superseded()
        yield Entry(name, *header.sections[0][:2], SECTIONS[0], {})
        counts = {"versions": len(superseded.addresses), "tombstones": len(superseded.graves)}
        yield Entry(name, *header.sections[1][:2], SECTIONS[1], counts)
        covered = opened.covered()
        state = {"segment": covered.segment, "offset": covered.offset, "sequence": covered.sequence}
        state |= {"revision": covered.revision, "compacted": covered.compacted}
        yield Entry(name, *header.sections[2][:2], SECTIONS[2], state)
    except StoreDamaged as damage:
        yield Entry(name, 0, 0, DAMAGED, {"reason": str(damage)})


def _mapped(data: bytes) -> mmap.mmap:
    """Return the bytes in memory of the kind that a run reads from."""
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


def _block(name: str, offset: int, read: block.IndexBlock) -> Iterator[Entry]:
    """Yield the entries of a block of a run: the block, and the keys in it."""
    kind = "leased-keys" if read.level == block.LEASED_KEYS else "fence" if read.level else "leaf"
    yield Entry(name, offset, read.end - offset, kind, {"level": read.level, "keys": len(read.keys)})
    for key, number in zip(read.keys, read.numbers, strict=True):
        if kind == "leaf":
            fields: dict[str, Value] = {"key": key, "address": place(number >> SHIFT), "gain": gain(number)}
            fields |= {"deleted": bool(number & DELETED), "leased": bool(number & LEASED)}
            yield Entry(name, offset, 0, "entry", fields)
        elif kind == "fence":
            yield Entry(name, offset, 0, "below", {"key": key, "block": number})
