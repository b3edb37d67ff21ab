"""A segment file: its header, its records by address, and walks over them (docs/formats/segment.md).

A record's address is the segment and offset at which it was first written, and never changes. A LOG segment holds
batches as they were written. A PACKED segment is one that reclaim has rewritten: extents of the records that were kept,
byte for byte, so each record must be looked up by the extent that holds its address. The package docstring has an
example.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import NamedTuple

from crc32c import crc32c

from brainctl.engine.format import batch as frame
from brainctl.engine.format import batch_reader
from brainctl.engine.format.extent import EXTENT_SIZE
from brainctl.engine.format.record import OVERHEAD, RESIDUE, TOMBSTONE, read_place, read_revision_and_kind
from brainctl.engine.format.segment_header import DATA, LOG, PACKED
from brainctl.engine.vfs.filesystem import File
from brainctl.errors import StoreDamaged

OFFSET_BITS = 32
"""An address is the number of the segment, shifted by this, plus the offset in it."""
OFFSET_MASK = (1 << OFFSET_BITS) - 1
_MARK_EVERY = 16 << 10
"""Bytes of log between two entries of a segment's table of revisions."""


class Extents:
    """The extents of a PACKED segment: which addresses it holds, and at which offsets of the file."""

    def __init__(self, read: Callable[["Extents"], None] | None = None) -> None:
        """Create an empty table; `read`, if given, adds the extents when the first is requested."""
        self.addresses = array("Q")
        self.places = array("Q")
        self.lengths = array("Q")
        self._read = read

    def add(self, address: int, place: int, length: int) -> None:
        """Add an extent; addresses ascend."""
        self.addresses.append(address)
        self.places.append(place)
        self.lengths.append(length)

    def place(self, address: int) -> int:
        """Return the offset in the file of the record at `address`; 0 when it is not held.

        Raises:
            StoreDamaged: The extents are read now, and one of them is not sound.
        """
        if self._read is not None:
            full = Extents()
            self._read(full)
            self.addresses, self.places, self.lengths, self._read = full.addresses, full.places, full.lengths, None
        number = bisect_right(self.addresses, address) - 1
        if number < 0:
            return 0
        into = address - self.addresses[number]
        return self.places[number] + into if into < self.lengths[number] else 0


class RecordSpan(NamedTuple):
    """Records that follow each other directly: those of a batch, or of an extent."""

    place: int
    """Offset in the file of the first record."""
    end: int
    address: int
    """Offset at which the first was first written."""
    crc: int
    """CRC-32C of them all, seeded."""
    first: int
    """Revision of the store before the batch, plus 1."""


class Segment:
    """One segment, open for reading; the tail of the log is written by `LogWriter`."""

    def __init__(self, number: int, generation: int, path: str, seed: int) -> None:
        self.number = number
        self.generation = generation
        self.path = path
        self.seed = seed
        """The salt of its CRCs."""
        self.file: File | None = None
        self.map: mmap | None = None
        self.size = 0
        """Bytes of the file."""
        self.stale = False
        """Whether the file was another segment before: bytes of that one follow the log."""
        self.written = 0
        """Offset up to which the space of a log segment is known to have been written before."""
        self.end = DATA
        """Offset at which the published batches, or the extents, end."""
        self.extents: Extents | None = None
        """None in a LOG segment."""
        self.sequences = (0, 0)
        """The first and the last batch that it holds or held; (0, 0) before there is one."""
        self.record_bytes = 0
        """Bytes of versions of keys, live, old and dead."""
        self.leased_bytes = 0
        """Bytes of versions that are attached to a lease and not dead, of those written since the store was opened."""
        self.dead = array("Q")
        """Offsets of versions that no reader can ask for any more."""
        self.dead_bytes = 0
        self.graves = array("Q")
        """Offsets of compacted tombstones: dead once no older segment holds a dead version."""
        self.grave_bytes = 0
        self.unswept_bytes = 0
        """Dead bytes as they were when the store was last open, until the dead versions were read from the runs."""
        self.unmarked = False
        """Whether the table of revisions must be built before it is used."""
        self._mark_revisions = array("q")
        self._mark_offsets = array("Q")
        self._next_mark = 0

    @property
    def kind(self) -> int:
        """Return LOG or PACKED."""
        return LOG if self.extents is None else PACKED

    def close(self) -> None:
        """Close the file; the map stays usable."""
        if self.file is not None:
            self.file.close()
        self.file = None

    # -- records by address -------------------------------------------------------------------------------------

    def has(self, address: int) -> bool:
        """Return whether the record that was first written at offset `address` is still there."""
        return self.extents is None or self.extents.place(address) != 0

    def place(self, address: int) -> int:
        """Return the offset in the file of the record that was first written at offset `address`; it must be there."""
        return address if self.extents is None else self.extents.place(address)

    def length_at(self, address: int) -> int:
        """Return the bytes of the record at an address; it must be there."""
        return read_place(self.mapped, self.place(address))[0]

    def record(self, address: int) -> bytes:
        """Return the whole record first written at offset `address`, checked.

        Raises:
            StoreDamaged: It is not sound, or gone.
        """
        place = address if self.extents is None else self.extents.place(address)
        data = self.mapped
        if place:
            length, known = read_place(data, place)
            record = data[place : place + length]
            if known == address and length > OVERHEAD and crc32c(record) == RESIDUE:
                return record
        raise StoreDamaged(f"{self.path}: the record at offset {place or address} is damaged")

    @property
    def mapped(self) -> mmap:
        """Return the file as memory."""
        assert self.map is not None
        return self.map

    # -- walks --------------------------------------------------------------------------------------------------

    def mark(self, revision: int, offset: int) -> None:
        """Add to the table of revisions that the batch or extent at `offset` begins with `revision`.

        One entry in _MARK_EVERY bytes is kept, the others are ignored.
        """
        if offset >= self._next_mark:
            self._mark_revisions.append(revision)
            self._mark_offsets.append(offset)
            self._next_mark = offset + _MARK_EVERY

    def first_revision(self) -> int:
        """Return the revision with which the segment begins; 0 when the table of revisions is empty.

        Raises:
            StoreDamaged: A header that is read for it is not sound.
        """
        if self.unmarked and self.extents is None:
            _at, first = next(batch_reader.batches(self.mapped, self.seed, DATA, self.size, path=self.path))
            return first.first
        if self.unmarked:
            self._mark_all()
        return self._mark_revisions[0] if self._mark_revisions else 0

    def seek(self, revision: int) -> int:
        """Return the offset of a batch or extent at or before the first record of `revision`.

        Raises:
            StoreDamaged: The table of revisions is built now, and a header or record is not sound.
        """
        if self.unmarked:
            self._mark_all()
        number = bisect_right(self._mark_revisions, revision - 1) - 1
        return self._mark_offsets[number] if number >= 0 else DATA

    def read_extents(self, extents: Extents) -> None:
        """Add the extents of a PACKED segment to `extents`.

        Raises:
            StoreDamaged: A header is not sound.
        """
        for span in self.spans():
            extents.add(span.address, span.place, span.end - span.place)

    def _mark_all(self) -> None:
        """Build the table of revisions from the headers of batches, or from the first records of extents."""
        del self._mark_revisions[:], self._mark_offsets[:]
        self._next_mark = 0
        for span in self.spans():
            if self.extents is None:
                self.mark(span.first, span.place - frame.HEADER_SIZE)
            else:
                revision, kind = read_revision_and_kind(self.record(span.address))
                if kind <= TOMBSTONE:
                    self.mark(revision, span.place - EXTENT_SIZE)
        self.unmarked = False

    def spans(self, offset: int = DATA) -> Iterator[RecordSpan]:
        """Yield the batches or extents from the one at `offset` up to the published end.

        Raises:
            StoreDamaged: A header is not sound.
        """
        data, seed, end, path = self.mapped, self.seed, self.end, self.path
        if self.extents is None:
            for at, batch in batch_reader.batches(data, seed, offset, end, path=path):
                place = at + frame.HEADER_SIZE
                yield RecordSpan(place, place + batch.length, place, batch.crc, batch.first)
        else:
            for at, extent in batch_reader.extents(data, seed, offset, end, path=path):
                place = at + EXTENT_SIZE
                yield RecordSpan(place, place + extent.length, extent.address, extent.crc, 0)

    def records(self, offset: int = DATA) -> Iterator[tuple[int, bytes]]:
        """Yield offset of first writing and checked bytes of each record, from the batch or extent at `offset` on."""
        for span in self.spans(offset):
            shift = span.address - span.place
            at = span.place
            while at < span.end:
                record = self.record(at + shift)
                yield at + shift, record
                at += len(record)
