"""The versions that a compaction makes dead, and how many bytes of each segment these are.

Versions are recorded when they are superseded, in the order of the log, and become dead when a compaction passes the
revision that superseded them. Tombstones become dead when a compaction passes their own revision; a tombstone at
exactly the compacted revision is kept, since a watch from there must still deliver the delete.

Finding them takes three calls, so that the second can run on another thread: `DeadVersions.due` collects a batch,
`DeadBatch.measure` finds the lengths of its records, `DeadVersions.resolve` adds them to their segments.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from brainctl.engine.format.record import HEADER_SIZE, read_length_and_lease
from brainctl.engine.index.log_coverage import Superseded
from brainctl.engine.index.run_reader import Run
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK, Segment
from brainctl.engine.vfs.filesystem import File, FileSystem


class DeadVersions:
    """Superseded versions and tombstones that await their compaction."""

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        """Create the list of what `runs` superseded, newest run first; their files are read when first needed."""
        self._unread = list(runs)
        self._noted = Superseded()
        self._sizes = array("I")
        """Result of `size_of` for each noted version; 0 when its length is not known."""
        self._grave_sizes = array("I")
        self._dead = self._buried = 0
        """Number of the noted versions, and of the tombstones, that segments have; both from the front."""
        self._dead_kept = self._buried_kept = 0
        """Number of the noted versions, and of the tombstones, that are in runs; both from the front."""
        self._resolved = 0

    def supersede(self, revision: int, address: int, size: int = 0) -> None:
        """Note that the version at `address` was replaced at `revision`.

        Revisions ascend from call to call. `size` is the result of `size_of`, 0 when it is not known.
        """
        self._noted.revisions.append(revision)
        self._noted.addresses.append(address)
        self._sizes.append(size)

    def bury(self, revision: int, address: int, size: int = 0) -> None:
        """Note that a tombstone was written at `revision`; arguments as for `supersede`."""
        self._noted.grave_revisions.append(revision)
        self._noted.graves.append(address)
        self._grave_sizes.append(size)

    def cut(self) -> Superseded:
        """Return what was noted since the last call, for a run to store."""
        noted, dead, buried = self._noted, self._dead_kept, self._buried_kept
        self._dead_kept, self._buried_kept = len(noted.addresses), len(noted.graves)
        return Superseded(
            noted.revisions[dead:], noted.addresses[dead:], noted.grave_revisions[buried:], noted.graves[buried:]
        )

    def due(self, compacted: int, segments: dict[int, Segment], limit: int) -> "DeadBatch | None":
        """Return up to `limit` versions and as many tombstones that have died; None when there are none.

        Raises:
            StoreDamaged: A run that has noted them is not sound.
        """
        if self._unread:
            self._read(segments)
        noted = self._noted
        dead = _passed(noted.revisions, self._dead, compacted, limit)
        buried = _passed(noted.grave_revisions, self._buried, compacted - 1, limit)
        if (dead, buried) == (self._dead, self._buried):
            return None
        found_dead, found_graves = slice(self._dead, dead), slice(self._buried, buried)
        return DeadBatch(
            SupersededVersions(noted.addresses[found_dead], self._sizes[found_dead]),
            SupersededVersions(noted.graves[found_graves], self._grave_sizes[found_graves]),
            segments,
            self._resolved,
        )

    def resolve(self, due: "DeadBatch", segments: dict[int, Segment]) -> None:
        """Add the dead bytes of a measured batch to its segments.

        Nothing is added when another batch was resolved since this one was due, or when one of the segments was
        replaced: the batch is due again.
        """
        found = (*due.found_dead, *due.found_graves)
        if due.resolved != self._resolved or any(segments.get(one.segment.number) is not one.segment for one in found):
            return
        self._resolved += 1
        for segment, offset, length, leased in due.found_dead:
            segment.dead.append(offset)
            segment.dead_bytes += length
            if leased:
                segment.leased_bytes = max(0, segment.leased_bytes - length)
        for segment, offset, length, _leased in due.found_graves:
            segment.graves.append(offset)
            segment.grave_bytes += length
        self._dead += len(due.dead.addresses)
        self._buried += len(due.graves.addresses)
        self._forget()

    def sweep(self, compacted: int, segments: dict[int, Segment]) -> None:
        """Add the dead bytes of all due batches to their segments, without a pause.

        Raises:
            StoreDamaged: A run that has noted them is not sound.
        """
        while (due := self.due(compacted, segments, 1 << 16)) is not None:
            due.measure(None)
            self.resolve(due, segments)

    def _read(self, segments: dict[int, Segment]) -> None:
        """Read what the runs have noted, and put it before what was noted since the opening."""
        older = Superseded()
        for run in reversed(self._unread):
            older.extend(run.superseded())
        self._unread = []
        self._dead_kept += len(older.addresses)
        self._buried_kept += len(older.graves)
        self._sizes = array("I", bytes(4 * len(older.addresses))) + self._sizes
        self._grave_sizes = array("I", bytes(4 * len(older.graves))) + self._grave_sizes
        older.extend(self._noted)
        self._noted = older
        for segment in segments.values():
            segment.unswept_bytes = 0

    def _forget(self) -> None:
        """Drop what was handed over and is in runs."""
        noted = self._noted
        dead, buried = min(self._dead, self._dead_kept), min(self._buried, self._buried_kept)
        if dead > 1 << 16 and dead * 2 > len(noted.addresses):
            del noted.revisions[:dead], noted.addresses[:dead], self._sizes[:dead]
            self._dead, self._dead_kept = self._dead - dead, self._dead_kept - dead
        if buried > 1 << 16 and buried * 2 > len(noted.graves):
            del noted.grave_revisions[:buried], noted.graves[:buried], self._grave_sizes[:buried]
            self._buried, self._buried_kept = self._buried - buried, self._buried_kept - buried


def _passed(revisions: "array[int]", at: int, compacted: int, limit: int) -> int:
    """Return the first place from `at` on that a compaction has not passed, at most `at + limit`."""
    last = min(at + limit, len(revisions))
    while at < last and revisions[at] <= compacted:
        at += 1
    return at


class SupersededVersions(NamedTuple):
    """Addresses of versions, and their sizes as far as known (see `size_of`)."""

    addresses: "array[int]"
    sizes: "array[int]"


def size_of(length: int, *, leased: bool) -> int:
    """Return the length of a record, in bytes, and whether it is attached to a lease, as one number."""
    return length << 1 | leased


class DeadRecord(NamedTuple):
    """A dead record that still takes space in its segment."""

    segment: Segment
    offset: int
    """Offset at which it was first written."""
    length: int
    leased: bool


class DeadBatch:
    """Versions that have died; `measure` finds their records and lengths."""

    def __init__(
        self, dead: SupersededVersions, graves: SupersededVersions, segments: dict[int, Segment], resolved: int
    ) -> None:
        self.dead = dead
        self.graves = graves
        self.resolved = resolved
        """Number of batches that had been taken when this one was collected."""
        self._segments = {
            number: segments[number]
            for number in {address >> OFFSET_BITS for address in (*dead.addresses, *graves.addresses)}
            if number in segments
        }
        self.found_dead: list[DeadRecord] = []
        """Versions whose records still exist, once `measure` has run."""
        self.found_graves: list[DeadRecord] = []

    def __len__(self) -> int:
        """Return the number of versions and tombstones."""
        return len(self.dead.addresses) + len(self.graves.addresses)

    def measure(self, fs: FileSystem | None) -> None:
        """Find the records and their lengths, on any thread.

        A length that is not known is read from the file with `fs`: a read lets other threads run while it waits for the
        device, a page fault of a map does not. Without `fs` it is read from the map.

        Raises:
            OSError: A file cannot be read.
        """
        for noted, found in ((self.dead, self.found_dead), (self.graves, self.found_graves)):
            unknown: dict[Segment, list[int]] = {}
            for address, size in zip(noted.addresses, noted.sizes, strict=True):
                segment, offset = self._segments.get(address >> OFFSET_BITS), address & OFFSET_MASK
                if segment is None or not segment.has(offset):
                    continue
                if size:
                    found.append(DeadRecord(segment, offset, size >> 1, bool(size & 1)))
                else:
                    unknown.setdefault(segment, []).append(offset)
            for segment, offsets in unknown.items():
                found.extend(_look(segment, offsets, fs))


def _look(segment: Segment, offsets: list[int], fs: FileSystem | None) -> Iterator[DeadRecord]:
    """Yield the records at some offsets of a segment, with lengths read from the file or, without `fs`, the map."""
    file = _open(segment, fs)
    try:
        for offset in offsets:
            place = segment.place(offset)
            data = file.read(HEADER_SIZE, place) if file is not None else segment.mapped[place : place + HEADER_SIZE]
            length, lease = read_length_and_lease(data)
            yield DeadRecord(segment, offset, length, lease != 0)
    finally:
        if file is not None:
            file.close()


def _open(segment: Segment, fs: FileSystem | None) -> File | None:
    """Open the file of a segment; return None when the map is to be read: no `fs`, or the file was replaced."""
    if fs is None:
        return None
    try:
        return fs.open(segment.path, write=False)
    except FileNotFoundError:
        return None
