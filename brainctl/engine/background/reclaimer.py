"""Reclaim the space of dead records, one segment at a time, while reads and writes go on."""

from collections.abc import Callable, Generator, Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from mmap import mmap

from brainctl.engine.background.job import Jobs, Work
from brainctl.engine.background.segment_picker import Candidate, pick, pick_any
from brainctl.engine.background.segment_rewrite import SegmentRewrite
from brainctl.engine.index.dead_versions import DeadBatch, DeadVersions
from brainctl.engine.log.manifest import Manifest
from brainctl.engine.log.segment import Segment
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import BrainctlError, StoreDamaged

_SWEEP_BYTES = 1024
"""Bytes that the look-up of one dead version counts against a budget: the interpreter takes as long for that many."""


class Reclaimer:
    """The reclaim of one engine. Whatever runs at the same time works on different segments."""

    def __init__(
        self,
        directory: str,
        fs: FileSystem,
        manifest: Manifest,
        garbage: DeadVersions,
        settled: Callable[[], int | None],
        segments: dict[int, Segment],
        maps: dict[int, mmap],
        fail: Callable[[BrainctlError], None],
        retire: Callable[[Segment], bool],
    ) -> None:
        """Create the reclaim of an engine.

        Args:
            directory: that of the store.
            fs: the file system.
            manifest: names the segments.
            garbage: the versions that compaction has made dead, or will.
            settled: returns the number below which segments may be rewritten; None for all.
            segments: the live segments by number, which are replaced in place.
            maps: memory maps of segments by number, which are dropped when their segment is replaced.
            fail: stops the engine after an I/O error.
            retire: takes the file of a replaced segment as a spare one, and returns whether it did.
        """
        self._directory = directory
        self._fs = fs
        self._manifest = manifest
        self._garbage = garbage
        self._settled = settled
        self._segments = segments
        self._maps = maps
        self._retire = retire
        self._jobs = Jobs("its space was reclaimed", manifest, fail)
        self.stats = self._jobs.stats
        self._rewrite: SegmentRewrite | None = None
        """The one under way."""
        self._swept = 0
        """Bytes that the look-ups so far count as."""
        self._busy: set[int] = set()
        """Segments that a job is working on."""

    def run(self, compacted: Callable[[], int], budget: int, ratio: float | None) -> Iterator[Work]:
        """Reclaim what is worth it, in pieces of work of about `budget` bytes.

        Args:
            compacted: returns the revision up to which what is dead may be removed.
            budget: bytes of one piece of work.
            ratio: the part of a segment that must be dead for it to be rewritten; None to reclaim all that there is.

        Raises:
            StoreFailed: any I/O error but a full disk.
            StoreDamaged: a record that is to be kept is damaged.
        """
        yield from self.sweep(compacted, budget)
        while not self.is_closed():
            planned = self._plan(ratio)
            if not planned or not (yield from self._carry_out(planned[0], budget)):
                return
            yield planned.clear  # nobody else has the old file mapped: unmapping takes the kernel some 20 ms
            yield from self.sweep(compacted, budget)

    def _carry_out(self, rewrite: SegmentRewrite, budget: int) -> Generator[Work, None, bool]:
        """Rewrite a segment in pieces and put it in use; return whether to go on."""
        self._busy.add(rewrite.old.number)
        self._rewrite = rewrite
        try:
            done = yield from self._jobs.run(rewrite.job, budget, rewrite.abandon)
        except BrainctlError:
            self._release(rewrite)
            raise
        if self.is_closed():
            return False
        self._release(rewrite)
        if done:
            self._adopt(rewrite)
        return done

    def _release(self, rewrite: SegmentRewrite) -> None:
        """Count a segment as not being worked on any more."""
        self._busy.remove(rewrite.old.number)
        self._rewrite = None

    def is_replacing(self, number: int) -> bool:
        """Return whether a job is working on the segment of that number."""
        return number in self._busy

    @property
    def moved(self) -> int:
        """Return the bytes read and written so far, and what counts as such."""
        counted = self.stats.reclaim_read_bytes + self.stats.reclaim_bytes + self._swept
        if self._rewrite is not None:
            stats = self._rewrite.job.stats
            counted += stats.reclaim_read_bytes + stats.reclaim_bytes
        return counted

    def is_closed(self) -> bool:
        """Return whether no more work is to begin."""
        return self._jobs.is_closed()

    def close(self) -> None:
        """Wait for the piece of work that is running, and let no other begin."""
        self._jobs.close()

    def sweep(self, compacted: Callable[[], int], budget: int) -> Iterator[Work]:
        """Find out what compaction has made dead, in pieces of work.

        Raises:
            StoreFailed: an I/O error.
            StoreDamaged: a record is damaged.
        """
        limit = max(1, budget // _SWEEP_BYTES)
        while not self.is_closed():
            due = self._garbage.due(compacted(), self._segments, limit)
            if due is None:
                return
            errors: list[OSError | StoreDamaged] = []
            yield partial(self._jobs.guarded, partial(self._measure, due, errors))
            if self.is_closed():
                return
            for error in errors:
                self._jobs.give_up(error, self._directory)
            self._swept += _SWEEP_BYTES * len(due)
            self._garbage.resolve(due, self._segments)

    def _measure(self, due: DeadBatch, errors: list[OSError | StoreDamaged]) -> None:
        try:
            due.measure(self._fs)
        except (OSError, StoreDamaged) as error:
            errors.append(error)

    def _plan(self, ratio: float | None) -> list[SegmentRewrite]:
        """Return the job that is worth most as the only element; an empty list when none is worth it."""
        settled = self._settled()
        found = [
            candidate
            for candidate in candidates(self._segments)
            if candidate.number not in self._busy and (settled is None or candidate.number < settled)
        ]
        number = pick_any(found) if ratio is None else pick(found, ratio)
        if number is None:
            return []
        old = self._segments[number]
        remove = any(candidate.number == number and not candidate.kept for candidate in found)
        drop = droppable(self._segments, number)
        return [SegmentRewrite(old, drop, self._directory, self._fs, self._manifest, self._retire, remove=remove)]

    def _adopt(self, rewrite: SegmentRewrite) -> None:
        old, new = rewrite.old, rewrite.new
        self._maps.pop(old.number, None)
        old.close()
        if new is None:
            del self._segments[old.number]
        else:
            inherit(old, new, rewrite.drop)
            self._segments[old.number] = new


def candidates(segments: dict[int, Segment]) -> list[Candidate]:
    """Return the sealed segments, oldest first.

    Tombstones may be removed only once no older segment holds a dead version: it could be of the same key, and would be
    taken for a live one when the store is read again.
    """
    found = []
    clean = True
    for number in sorted(segments)[:-1]:
        part = segments[number]
        dead = part.dead_bytes + (part.grave_bytes if clean else 0)
        kept = part.record_bytes - dead
        found.append(Candidate(number, part.size, kept, dead, part.extents is not None, min(part.leased_bytes, kept)))
        clean = clean and not part.dead
    return found


def droppable(segments: dict[int, Segment], number: int) -> AbstractSet[int]:
    """Return the addresses of the records that may be removed from a segment now."""
    part = segments[number]
    clean = not any(segments[older].dead for older in segments if older < number)
    return {*part.dead, *part.graves} if clean else set(part.dead)


def inherit(old: Segment, new: Segment, dropped: AbstractSet[int]) -> None:
    """Note in a new segment the dead records of the old one that it still holds."""
    new.leased_bytes = old.leased_bytes
    for address in old.dead:
        if address not in dropped:
            new.dead.append(address)
            new.dead_bytes += new.length_at(address)
    for address in old.graves:
        if address not in dropped:
            new.graves.append(address)
            new.grave_bytes += new.length_at(address)
