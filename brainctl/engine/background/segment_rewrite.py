"""Rewrite one segment without its dead records, or remove one that has no others.

A job touches only files and its own state. The new file is complete and durable before the manifest names it; until
then the old one stays. A job that was interrupted leaves a file that no manifest names, which the next opening removes.
"""

from collections.abc import Callable, Generator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress

from crc32c import crc32c

from brainctl.engine.background.job import Job
from brainctl.engine.format import batch
from brainctl.engine.format.extent import EXTENT_SIZE, ExtentHeader, pack_extent
from brainctl.engine.format.file_names import segment_name
from brainctl.engine.format.record import KIND, META_SET, TOMBSTONE, read_place, read_revision_and_kind
from brainctl.engine.format.segment_header import DATA, PACKED, FileHeader, pack_header
from brainctl.engine.log.manifest import Manifest
from brainctl.engine.log.segment import Extents, Segment
from brainctl.engine.vfs.filesystem import BLOCK, File, FileSystem, block_bytes, create_anew, write_all, write_through
from brainctl.errors import StoreDamaged

_BUFFER = 256 << 10
"""Bytes, about, of the pieces in which extents are written; pieces begin and end with a block."""
_AHEAD = 1 << 20
"""Bytes of the old segment that are read at a time."""


class SegmentRewrite:
    """The reclaim of one segment."""

    def __init__(
        self,
        old: Segment,
        drop: AbstractSet[int],
        directory: str,
        fs: FileSystem,
        manifest: Manifest,
        retire: Callable[[Segment], bool],
        *,
        remove: bool,
    ) -> None:
        """Create a job, which has done nothing yet.

        Args:
            old: the segment to replace.
            drop: the addresses of records that are not copied.
            directory: that of the store.
            fs: the file system.
            manifest: names the segments.
            retire: takes the file of a replaced segment as a spare one, and returns whether it did.
            remove: make no copy at all.
        """
        self.old = old
        self.drop = drop
        self.new: Segment | None = None
        """Segment that replaces the old one, once the job is done; None when nothing does."""
        self._directory = directory
        self._fs = fs
        self._manifest = manifest
        self._retire = retire
        self.job = Job(old.path, self._unlink() if remove else self._pack())

    def abandon(self) -> None:
        """Remove what has been written; the old segment stays."""
        if self.new is not None:
            self.new.close()
            with suppress(OSError):  # the next attempt or opening removes it
                self._fs.unlink(self.new.path)

    # -- steps --------------------------------------------------------------------------------------------------

    def _unlink(self) -> Generator[bool, None, None]:
        yield from self._switch(None)

    def _pack(self) -> Generator[bool, None, None]:
        """Copy what is kept, and yield whenever the budget is used up."""
        old = self.old
        generation = old.generation + 1
        path = f"{self._directory}/{segment_name(old.number, generation)}"
        new = Segment(old.number, generation, path, old.seed)
        new.extents = Extents()
        new.sequences = old.sequences
        new.end = DATA
        new.file = file = create_anew(self._fs, path)
        self.new = new
        buffer = bytearray()
        for extent in self._kept(old):
            buffer += extent
            if len(buffer) >= _BUFFER:
                self._write(file, new, buffer, len(buffer) // BLOCK * BLOCK)
            if self.job.budget <= 0:
                if not file.through:  # so that the next sync of the log does not wait for all of it
                    self._sync(file)
                yield True
        self._write(file, new, buffer, len(buffer) // BLOCK * BLOCK)
        write_all(file, buffer, new.end)
        self.job.stats.reclaim_bytes += block_bytes(new.end, len(buffer))
        new.end += len(buffer)
        yield from self._finish(file, new)

    def _kept(self, old: Segment) -> Generator[bytes, None, None]:
        """Yield extents of the records to keep, with their headers, and note each in the new segment.

        Yields nothing, as b"", when the budget has been used up by reading.

        Raises:
            StoreDamaged: records of the old segment are damaged.
        """
        new = self.new
        assert new is not None
        place, warm = DATA, 0
        for span in old.spans():
            if span.end > warm:
                warm = self._read_ahead(span.place, span.end)
            records = old.mapped[span.place : span.end]
            if crc32c(records, old.seed) != span.crc:
                raise StoreDamaged(f"{old.path}: the records at offset {span.place} are damaged")
            self.job.budget -= len(records)
            self.job.stats.reclaim_read_bytes += len(records)
            for first, last, count in _stretches(records, span.address, self.drop):
                kept = records[first:last]
                header = ExtentHeader(len(kept), crc32c(kept, old.seed), span.address + first, count)
                self._add_extent(new, place, header, kept)
                yield pack_extent(header, old.seed) + kept
                place += EXTENT_SIZE + len(kept)
            if self.job.budget <= 0:
                yield b""

    @staticmethod
    def _add_extent(new: Segment, place: int, header: ExtentHeader, first: bytes) -> None:
        assert new.extents is not None
        new.extents.add(header.address, place + EXTENT_SIZE, header.length)
        new.record_bytes += header.length
        revision, kind = read_revision_and_kind(first)
        if kind <= TOMBSTONE:
            new.mark(revision, place)

    def _read_ahead(self, place: int, end: int) -> int:
        """Read the old file from `place` to `end` at least, so that it is in the page cache, and return where the
        reading ended.

        The access to a map that has to wait for the device would keep all other threads waiting.
        """
        file = self._fs.open(self.old.path, write=False)
        try:
            return place + len(file.read(max(end - place, _AHEAD) + batch.HEADER_SIZE, place))
        finally:
            file.close()

    def _write(self, file: File, new: Segment, buffer: bytearray, size: int) -> None:
        """Write the first bytes of the buffer, whole blocks, and remove them from it."""
        if size:
            write_through(file, buffer[:size], new.end)
            del buffer[:size]
            new.end += size
            self.job.budget -= size
            self.job.stats.reclaim_bytes += size

    def _sync(self, file: File) -> None:
        file.sync()
        self.job.stats.syncs += 1

    def _finish(self, file: File, new: Segment) -> Generator[bool, None, None]:
        """Write the header, make the file durable, and put it in the place of the old one."""
        assert new.extents is not None
        first, last = new.sequences
        header = FileHeader(
            PACKED,
            new.number,
            new.generation,
            len(new.extents.places),
            self._manifest.store,
            new.end,
            first,
            last,
        )
        write_all(file, pack_header(header), 0)
        self.job.stats.meta_bytes += DATA
        self._sync(file)
        yield True
        self._fs.sync_directory(self._directory)
        self.job.stats.syncs += 1
        new.size = new.end
        new.map = file.map()
        new.close()
        yield from self._switch(new.generation)

    def _switch(self, generation: int | None) -> Generator[bool, None, None]:
        """Make the manifest name the new file, then remove the old one: if that fails, the next opening does it."""
        yield True
        self._manifest.replace(self.old.number, generation)
        yield True
        with suppress(OSError):
            if not self._retire(self.old):
                self._fs.unlink(self.old.path)
        self.job.stats.reclaimed_segments += 1
        self.job.stats.reclaimed_bytes += self.old.size - (self.new.size if self.new is not None else 0)


def _stretches(records: bytes, address: int, drop: AbstractSet[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, number) of the stretches of records that are kept, where the first record has this address."""
    at, first, count = 0, 0, 0
    while at < len(records):
        length = read_place(records, at)[0]
        if records[at + KIND] < META_SET and address + at not in drop:
            count += 1
        else:
            if count:
                yield first, at, count
            first, count = at + length, 0
        at += length
    if count:
        yield first, at, count
