"""List the files of a store that may be damaged, as far as they can be recognised."""

from typing import NamedTuple

from brainctl.engine.format import batch
from brainctl.engine.format.file_names import parse_segment, segment_name
from brainctl.engine.format.segment_header import DATA, LOG, PACKED, FileHeader, unpack_header
from brainctl.engine.log import manifest
from brainctl.engine.log.manifest import Listing
from brainctl.engine.offline.salvage_scan import read_file
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import StoreDamaged


class SegmentFile(NamedTuple):
    """One segment file."""

    number: int
    generation: int
    name: str

    @property
    def kind(self) -> int:
        """Return LOG or PACKED: a log segment has generation 0."""
        return PACKED if self.generation else LOG

    def seed(self, store: int) -> int:
        """Return the salt of its CRCs."""
        return batch.salt(store, self.number)


class StoreInventory(NamedTuple):
    """Files of a store, as far as they can be read."""

    store: int
    """Identity of the store, 64 bits."""
    listing: Listing | None
    """Files that the manifest names; None when it cannot be read."""
    parts: list[SegmentFile]
    """The segments that are there and belong to the store, oldest first."""
    findings: list[str]
    """A sentence for each file that is missing or cannot be read, the manifest included."""

    @property
    def names(self) -> dict[int, str]:
        """Return the name of each segment that the store had, by number.

        Without the manifest these are all up to the newest one that is there.
        """
        found = {part.number: part.name for part in self.parts}
        if self.listing is not None:
            return {number: segment_name(number, generation) for number, generation in self.listing.segments.items()}
        return {number: segment_name(number, 0) for number in range(1, max(found) + 1)} | found


def remains(directory: str, fs: FileSystem) -> StoreInventory:
    """Return what is left of the store in `directory`.

    Where the manifest cannot be read, the newest generation of each segment that is complete counts.

    Raises:
        StoreDamaged: nothing shows the identity of the store.
        OSError: a file cannot be read.
    """
    findings: list[str] = []
    try:
        listing = manifest.load(directory, fs)
        if listing is None:
            findings.append(f"{directory}/{manifest.NAME}: the file is missing (offset 0)")
    except StoreDamaged as damage:
        listing = None
        findings.append(str(damage))
    names = fs.names(directory)
    if listing is None:
        return _guess(directory, fs, names, findings)
    parts = []
    for number, generation in sorted(listing.segments.items()):
        name = segment_name(number, generation)
        if name in names:
            parts.append(SegmentFile(number, generation, name))
        else:
            findings.append(f"{directory}/{name}: the file is missing (offset 0)")
    return StoreInventory(listing.store, listing, parts, findings)


def _guess(directory: str, fs: FileSystem, names: list[str], findings: list[str]) -> StoreInventory:
    """Return what is left of a store without a manifest, by the names and headers of its segments.

    Raises:
        StoreDamaged: no header shows the identity of the store.
    """
    store: int | None = None
    newest: dict[int, SegmentFile] = {}
    sound: set[SegmentFile] = set()
    for name in names:
        parsed = parse_segment(name)
        if parsed is None:
            continue
        part = SegmentFile(*parsed, name)
        header = _header(directory, fs, name)
        if header is not None:
            store = header.store if store is None else store
            sound.add(part)
        known = newest.get(part.number)
        if known is None or (part in sound, part.generation) > (known in sound, known.generation):
            newest[part.number] = part
    if store is None:
        raise StoreDamaged(f"{findings[0]}; and no segment tells which store this was")
    findings.append("without its manifest nothing tells whether the store had newer segments than those that are there")
    return StoreInventory(store, None, [newest[number] for number in sorted(newest)], findings)


def _header(directory: str, fs: FileSystem, name: str) -> FileHeader | None:
    """Return the header of a segment file, None when it is damaged or the file is not as long as it says."""
    path = f"{directory}/{name}"
    data, _lost = read_file(fs, path)
    try:
        header = unpack_header(data[:DATA], path)
    except StoreDamaged:
        return None
    return header if header.end == len(data) else None
