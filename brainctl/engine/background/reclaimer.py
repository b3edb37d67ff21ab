"""Reclaim the space of dead records, one segment at a time, while reads and writes go on."""

import errno
from collections.abc import Callable, Generator, Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from mmap import mmap
from threading import Event, Lock
from typing import NoReturn

from brainctl.engine.background.segment_picker import Candidate, pick, pick_any
from brainctl.engine.background.segment_rewrite import SegmentRewrite
from brainctl.engine.index.dead_versions import DeadBatch, DeadVersions
from brainctl.engine.log.manifest import Manifest
from brainctl.engine.log.segment import Segment
from brainctl.engine.stats import Stats
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import BrainctlError, StoreDamaged, StoreFailed, next_step

_SWEEP_BYTES = 1024
"""Bytes that the look-up of one dead version counts against a budget: the interpreter takes as long for that many."""


Work = Callable[[], None]
"""A piece of I/O. It raises nothing, and may be called on any thread, once; until it has returned, the iterator that it
came from must not be advanced.
"""


def rest() -> None:
    """Do nothing: a pause in which the caller serves others."""


class Reclaimer:
    """The reclaim of one engine. Whatever runs at the same time works on different segments."""

    def __init__(
        self,
        directory: str,
        fs: FileSystem,
        manifest: Manifest,
        stats: Stats,
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
            stats: what is counted.
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
        self.stats = stats
        self._garbage = garbage
        self._settled = settled
        self._segments = segments
        self._maps = maps
        self._fail = fail
        self._retire = retire
        self._turn = Lock()
        self._closed = Event()
        self._job: SegmentRewrite | None = None
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
        while not self._closed.is_set():
            planned = self._plan(ratio)
            if not planned or not (yield from self._carry_out(planned[0], budget)):
                return
            yield planned.clear  # nobody else has the old file mapped: unmapping takes the kernel some 20 ms
            yield from self.sweep(compacted, budget)

    def _carry_out(self, job: SegmentRewrite, budget: int) -> Generator[Work, None, bool]:
        """Run a job in pieces, and return whether to go on."""
        self._busy.add(job.old.number)
        self._job = job
        while not job.finished:
            yield partial(self._work, job, budget)
            if self._closed.is_set():
                return False
        self._busy.remove(job.old.number)
        self._job = None
        self.stats.add(job.stats)
        return self._conclude(job)

    def is_replacing(self, number: int) -> bool:
        """Return whether a job is working on the segment of that number."""
        return number in self._busy

    @property
    def moved(self) -> int:
        """Return the bytes read and written so far, and what counts as such."""
        counted = self.stats.reclaim_read_bytes + self.stats.reclaim_bytes + self._swept
        if self._job is not None:
            counted += self._job.stats.reclaim_read_bytes + self._job.stats.reclaim_bytes
        return counted

    @property
    def closed(self) -> bool:
        """Return whether no more work is to begin."""
        return self._closed.is_set()

    def close(self) -> None:
        """Wait for the piece of work that is running, and let no other begin."""
        with self._turn:
            self._closed.set()

    def _work(self, job: SegmentRewrite, budget: int) -> None:
        with self._turn:
            if not self._closed.is_set():
                job.run(budget)

    def sweep(self, compacted: Callable[[], int], budget: int) -> Iterator[Work]:
        """Find out what compaction has made dead, in pieces of work.

        Raises:
            StoreFailed: an I/O error.
            StoreDamaged: a record is damaged.
        """
        limit = max(1, budget // _SWEEP_BYTES)
        while not self._closed.is_set():
            due = self._garbage.due(compacted(), self._segments, limit)
            if due is None:
                return
            errors: list[OSError | StoreDamaged] = []
            yield partial(self._measure, due, errors)
            if self._closed.is_set():
                return
            for error in errors:
                self._give_up(error, self._directory)
            self._swept += _SWEEP_BYTES * len(due)
            self._garbage.take(due, self._segments)

    def _measure(self, due: DeadBatch, errors: list[OSError | StoreDamaged]) -> None:
        with self._turn:
            if self._closed.is_set():
                return
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

    def _conclude(self, job: SegmentRewrite) -> bool:
        """Put what a job has made in use, and return whether to go on.

        A full disk leaves the old segment in use and ends the run. After any other I/O error nothing on the medium is
        trusted.

        Raises:
            StoreFailed: the job ended with an I/O error.
            StoreDamaged: the job found damage.
        """
        error = job.error
        if error is None:
            self._adopt(job)
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and not self._manifest.in_doubt:
            job.abandon()
            return False
        return self._give_up(error, job.old.path)

    def _give_up(self, error: OSError | StoreDamaged, path: str) -> NoReturn:
        if isinstance(error, StoreDamaged):
            raise error
        failure = StoreFailed(f"{path}: {error.strerror or error} while its space was reclaimed")
        failure.advised(next_step(error))
        self._fail(failure)
        raise failure from error

    def _adopt(self, job: SegmentRewrite) -> None:
        old, new = job.old, job.new
        self._maps.pop(old.number, None)
        old.close()
        if new is None:
            del self._segments[old.number]
        else:
            inherit(old, new, job.drop)
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
