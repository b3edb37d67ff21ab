"""Survey what can be saved of a damaged store: every intact record, and what was lost in between.

Only reads, and continues behind damage. A record counts when it is intact and lies where an intact batch or extent says
that records are, or, where nothing says so, when its revision fits between its neighbours (docs/internals/recovery.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from brainctl.engine.format import batch as frame
from brainctl.engine.format.batch_reader import batches
from brainctl.engine.format.extent import EXTENT_SIZE
from brainctl.engine.format.file_names import is_log_segment, parse_segment, segment_name
from brainctl.engine.format.record import (
    IMPORTED,
    META_SET,
    TOMBSTONE,
    header_of,
    key_of,
    read_revision_and_kind,
    small_value,
)
from brainctl.engine.format.run_header import OutdatedRun
from brainctl.engine.format.segment_header import DATA, LOG, is_recycled, unpack_header
from brainctl.engine.index.log_coverage import LogCoverage
from brainctl.engine.index.run_reader import Run
from brainctl.engine.log import torn_write
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK, Extents
from brainctl.engine.offline.inventory import SegmentFile, StoreInventory, remains
from brainctl.engine.offline.salvage_scan import Batch, Extent, Hole, Record, Unused, read_file, scan
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import StoreDamaged


@dataclass(slots=True)
class Loss:
    """A stretch of a file in which nothing is intact."""

    file: str
    offset: int
    length: int
    """Bytes; 0 when it is not known."""
    first: int
    """The first of the revisions that may have been there.

    0 for none: small records were there, or a header whose records are intact.
    """
    last: int
    """The last of these revisions; 0 with a `first` when nothing shows where it ended."""

    @property
    def number(self) -> int:
        """Return the number of the segment."""
        name = parse_segment(self.file)
        assert name is not None
        return name.number

    @property
    def in_log(self) -> bool:
        """Return whether the file is a log segment: its offsets are those of first writing."""
        return is_log_segment(self.file)

    @property
    def is_open(self) -> bool:
        """Return whether the log ended in this segment."""
        return bool(self.first) and not self.last


class Found(NamedTuple):
    """An intact record that counts."""

    part: SegmentFile
    offset: int
    """Offset in the file, in bytes."""
    address: int
    """Segment and offset of its first writing."""
    data: bytes


@dataclass(slots=True)
class _Orphan:
    """An intact record outside of all intact batches and extents."""

    address: int
    mod: int
    low: int
    """The lowest revision that fits there."""


@dataclass
class Survey:
    """A damaged store as it was found."""

    directory: str
    fs: FileSystem
    store: int = 0
    parts: list[SegmentFile] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    revision: int = 1
    """The newest revision that is known."""
    compacted: int = 0
    meta: dict[bytes, bytes] = field(default_factory=dict)
    """The small records."""
    meta_stale: bool = False
    """Whether newer small records may have been lost."""
    damaged: dict[int, set[int]] = field(default_factory=dict)
    """Addresses of the intact records of each segment in which something was lost, by its number."""
    imported: int = 0
    """The newest revision of imported versions, which a migration copied."""
    runs: list[Run] = field(default_factory=list)
    """The runs of the index, newest first; none unless all are intact."""
    records: int = 0
    """The number of intact records that count."""
    _whole: set[int] = field(default_factory=set)
    """Log segments in which nothing was lost."""
    _extents: dict[int, Extents] = field(default_factory=dict)
    """The extents of packed segments in which nothing was lost."""
    _file: tuple[str, tuple[bytes, list[tuple[int, int]]]] = ("", (b"", []))
    """The file that was read last, by its name."""
    _sequence: int = 0
    """The sequence of the last batch so far."""
    _last: SegmentFile | None = None
    """The segment that it was in."""
    _cut: tuple[int, int] | None = None
    """Segment and offset of an unfinished write, which never counted."""
    _seen: int = 1
    """The newest revision so far."""
    _waiting: list[Loss] = field(default_factory=list)
    """Losses whose last revision the next intact structure shows."""
    _orphans: list[_Orphan] = field(default_factory=list)
    _accepted: set[int] = field(default_factory=set)
    """Addresses of orphans that fit."""

    def found(self) -> Iterator[Found]:
        """Yield every record that counts, in the order of the log; only after `make`."""
        for part in self.parts:
            end = 0
            for piece in self._pieces(part):
                match piece:
                    case Batch(offset, batch):
                        end = offset + batch.span
                    case Extent(offset, extent):
                        end = offset + EXTENT_SIZE + extent.length
                    case Record(offset, at, data):
                        address = part.number << OFFSET_BITS | at
                        if offset < end or address in self._accepted:
                            yield Found(part, offset, address, data)
                    case _:
                        pass

    def held(self, address: int) -> bool:
        """Return whether the record that was first written there was found."""
        number, at = address >> OFFSET_BITS, address & OFFSET_MASK
        if number in self.damaged:
            return address in self.damaged[number]
        extents = self._extents.get(number)
        return extents.place(at) != 0 if extents is not None else number in self._whole

    def _pieces(self, part: SegmentFile) -> Iterator[Batch | Extent | Record | Hole | Unused]:
        data, _lost = self._read(part)
        if self._cut is not None and self._cut[0] == part.number:
            data = data[: self._cut[1]].ljust(len(data), b"\0")
        return scan(data, part.kind, part.seed(self.store))

    def _read(self, part: SegmentFile) -> tuple[bytes, list[tuple[int, int]]]:
        """Return the file of a segment, and what of it the device could not read."""
        if self._file[0] != part.name:
            self._file = part.name, read_file(self.fs, f"{self.directory}/{part.name}")
        return self._file[1]

    # -- making it ----------------------------------------------------------------------------------------------

    def make(self) -> None:
        """Read everything, and note what was found.

        Raises:
            StoreDamaged: nothing shows which store it is.
            OSError: a file cannot be read.
        """
        there = remains(self.directory, self.fs)
        self.runs = self._sound_runs(there)
        self.store, self.parts = there.store, there.parts
        self.findings += there.findings
        self._cut = self._unfinished()
        parts = {part.number: part for part in self.parts}
        for number, name in sorted(there.names.items()):
            if number in parts:
                self._look(parts[number])
            else:
                self._lose(number, name, 0, 0)
        if self.runs:
            self._compare(self.runs[0].covered())
        self._settle(0)
        self.compacted = max(self.compacted, self._implied())

    def _implied(self) -> int:
        """Return a revision up to which the store was compacted at least.

        A version that reclaim has removed was superseded by then.
        """
        implied = 0
        for one in self.found():
            header = header_of(one.data)
            mod, previous = header.mod_revision, header.previous
            if mod > implied and header.version != 1 and previous and not self.held(previous):
                implied = mod if previous >> OFFSET_BITS not in self.damaged else implied
        return implied

    def _look(self, part: SegmentFile) -> None:
        """Take in one segment: its records, and its holes as losses."""
        size = self._check_header(part)
        end, bounds, unused = 0, (0, 0), False
        extents = Extents()
        sound: set[int] = set()
        for piece in self._pieces(part):
            match piece:
                case Batch(offset, batch):
                    self._add_batch(part, batch)
                    end = offset + batch.span
                    bounds = (min(batch.first, batch.revision), batch.revision)
                case Extent(offset, extent):
                    end = offset + EXTENT_SIZE + extent.length
                    extents.add(extent.address, offset + EXTENT_SIZE, extent.length)
                case Record(offset, at, data):
                    sound.add(part.number << OFFSET_BITS | at)
                    self._add_record(part, at, data, inside=offset < end)
                case Hole():
                    self._add_hole(part, piece, bounds if piece.offset < end else (0, 0))
                case Unused():
                    unused = not piece.stale
        if size is not None and not unused:  # without its header it is not known whether the file was longer
            self._lose(part.number, part.name, size, 0)
        self._keep_addresses(part, sound, extents)

    def _add_hole(self, part: SegmentFile, hole: Hole, bounds: tuple[int, int]) -> None:
        """Note a hole; `bounds` are the revisions of the batch in which it is, if it is in an intact one."""
        loss = self._lose(part.number, part.name, hole.offset, hole.end - hole.offset)
        if bounds != (0, 0):
            self._waiting.remove(loss)
            loss.first, loss.last = bounds

    def _keep_addresses(self, part: SegmentFile, sound: set[int], extents: Extents) -> None:
        """Remember what `held` needs."""
        if part.number in self.damaged:
            self.damaged[part.number] = sound
        elif part.kind == LOG:
            self._whole.add(part.number)
        else:
            self._extents[part.number] = extents

    def _check_header(self, part: SegmentFile) -> int | None:
        """Note what is wrong with the file as a whole; return its size when the header cannot be read, else None."""
        data, lost = self._read(part)
        self.findings += [f"{part.name}: the device cannot read {b - a} bytes at offset {a}" for a, b in lost]
        try:
            header = unpack_header(data[:DATA], part.name)
        except StoreDamaged as damage:
            self.findings.append(str(damage))
            return len(data)
        if header.end > len(data):
            self.findings.append(f"{part.name}: {len(data)} bytes long instead of {header.end} (offset {len(data)})")
            self._lose(part.number, part.name, len(data), header.end - len(data))
        if part.kind != LOG:
            self._follow(part, header.first)
            self._sequence = header.last
        return None

    def _follow(self, part: SegmentFile, sequence: int) -> None:
        """Move on to a batch in `part`.

        A batch that is missing before it was at the end of a segment that is zeros now, and is noted as lost.
        """
        before, self._last = self._last, part
        if before is None or self._waiting or before.number + 1 < part.number:
            return
        if sequence > self._sequence + 1 > 1:
            self._lose(before.number, before.name, 0, 0)

    def _add_batch(self, part: SegmentFile, batch: frame.BatchHeader) -> None:
        self._follow(part, batch.sequence)
        self._sequence = batch.sequence
        self._settle(batch.first - 1)
        self._seen = self.revision = max(self.revision, batch.revision)
        self.compacted = max(self.compacted, batch.compacted)
        if batch.flags & frame.SNAPSHOT:
            self.meta.clear()
            self.meta_stale = False

    def _add_record(self, part: SegmentFile, at: int, data: bytes, *, inside: bool) -> None:
        """Add a record; `inside` says whether it lies in an intact batch or extent."""
        mod, kind = read_revision_and_kind(data)
        address = part.number << OFFSET_BITS | at
        if not inside:
            if kind <= TOMBSTONE:
                self._orphans.append(_Orphan(address, mod, self._seen + (part.kind == LOG)))
            return
        self.records += 1
        if kind >= META_SET:
            self._add_metadata(data, remove=kind != META_SET)
        elif kind == IMPORTED:
            self.imported = max(self.imported, mod)
        elif part.kind != LOG:
            self._settle(mod)
            self._seen = self.revision = max(self.revision, mod)

    def _add_metadata(self, data: bytes, *, remove: bool) -> None:
        name = key_of(data)
        if remove:
            self.meta.pop(name, None)
        else:
            self.meta[name] = small_value(data)

    def _lose(self, number: int, name: str, offset: int, length: int) -> Loss:
        """Note a loss, whose last revision is not known yet, and return it."""
        loss = Loss(name, offset, length, self._seen, 0)
        self.losses.append(loss)
        self._waiting.append(loss)
        self.damaged.setdefault(number, set())
        self.meta_stale = self.meta_stale or is_log_segment(name)
        return loss

    def _compare(self, covered: LogCoverage) -> None:
        """Take from the newest run how far the log went at least."""
        self.compacted = max(self.compacted, covered.compacted)
        if covered.sequence > self._sequence and not self._waiting:
            number = covered.segment
            self._lose(number, segment_name(number, 0), covered.offset, 0)
        self.revision = max(self.revision, covered.revision)

    def _sound_runs(self, there: StoreInventory) -> list[Run]:
        """Return the runs of the index, none unless all are intact."""
        listed = there.listing.runs if there.listing is not None else ()
        try:
            runs = [Run.open(self.directory, self.fs, there.store, number) for number in listed]
            for run in runs:
                for _ in run.prove():
                    pass
        except OutdatedRun:
            return []
        except StoreDamaged as damage:
            self.findings.append(f"{damage}; the index is made anew, of the log")
            return []
        return runs

    def _settle(self, last: int) -> None:
        """Settle the losses and orphans that wait: they lie before what follows revision `last`.

        With 0, nothing follows.
        """
        for loss in self._waiting:
            if loss.in_log:
                loss.first += 1  # a log segment holds whole revisions
            loss.last = last
            if last and loss.first > last:
                loss.first = loss.last = 0
        self._waiting = []
        for orphan in self._orphans:
            if orphan.low <= orphan.mod and (not last or orphan.mod <= last):
                self._accepted.add(orphan.address)
                self.records += 1
                self.revision = max(self.revision, orphan.mod)
        self._orphans = []

    # -- the end of the log -------------------------------------------------------------------------------------

    def _unfinished(self) -> tuple[int, int] | None:
        """Return the place of the write that a crash has left unfinished, as opening the store would cut it; None
        without one.
        """
        logs = [part for part in self.parts if part.kind == LOG]
        while logs:
            part = logs.pop()
            data, _lost = self._read(part)
            seed, stale = part.seed(self.store), is_recycled(data)
            if torn_write.is_clean(data, DATA, seed, stale=stale):
                continue
            end, sequence = _sound_end(data, seed)
            if end == DATA and logs:
                before, _lost = read_file(self.fs, f"{self.directory}/{logs[-1].name}")
                sequence = _sound_end(before, logs[-1].seed(self.store))[1]
            if torn_write.is_clean(data, end, seed, stale=stale):
                return None
            try:
                torn_write.check_torn(data, end, sequence + 1, seed, part.name, stale=stale)
            except StoreDamaged:
                return None
            return part.number, end
        return None


def _sound_end(data: bytes, seed: int) -> tuple[int, int]:
    """Return where the intact batches at the beginning of a log segment end, and the sequence of the last one.

    Without any the sequence is 0.
    """
    end, sequence = DATA, 0
    for offset, header in batches(data, seed, DATA, len(data), records=True):
        end, sequence = offset + header.span, header.sequence
    return end, sequence


def survey(directory: str, fs: FileSystem) -> Survey:
    """Return a survey of the store in `directory`, whatever its damage, without changing it.

    Raises:
        StoreDamaged: nothing shows which store it is.
        OSError: a file cannot be read.
    """
    made = Survey(directory, fs)
    made.make()
    return made
