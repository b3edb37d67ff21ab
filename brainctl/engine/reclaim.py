"""Gives back the space of dead records, one segment at a time, while reads and writes go on."""

import errno
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from mmap import mmap

from brainctl.engine.files import FileSystem
from brainctl.engine.garbage import Garbage
from brainctl.engine.index import KeyIndex
from brainctl.engine.manifest import Manifest
from brainctl.engine.packing import Job
from brainctl.engine.pick import Candidate, pick, pick_any
from brainctl.engine.segment import Segment
from brainctl.engine.stats import Stats
from brainctl.errors import BrainctlError, StoreFailed

_SWEEP_BYTES = 256
"""What noting one dead version counts against a budget of bytes."""


class Reclaim:
    """The background work of one engine: it knows of at most one job at a time."""

    def __init__(
        self,
        directory: str,
        fs: FileSystem,
        manifest: Manifest,
        stats: Stats,
        garbage: Garbage,
        index: KeyIndex,
        segments: dict[int, Segment],
        maps: dict[int, mmap],
        fail: Callable[[BrainctlError], None],
    ) -> None:
        self._directory = directory
        self._fs = fs
        self._manifest = manifest
        self._stats = stats
        self._garbage = garbage
        self._index = index
        self._segments = segments
        self._maps = maps
        self._fail = fail
        self._job: Job | None = None

    def sweep(self, compacted: int, budget: int) -> bool:
        """Find out what a compaction has made dead; whether there is more of it than fits the budget."""
        return self._garbage.sweep(compacted, self._segments, self._index, max(1, budget // _SWEEP_BYTES))

    def step(self, compacted: int, budget: int, ratio: float | None) -> bool:
        """Go on with the job at hand, or begin one; whether there is more to do.

        `ratio` is the part of a segment that must be dead for it to be rewritten; None asks for all that there is.
        """
        if self.sweep(compacted, budget):
            return True
        job = self._job or self._plan(ratio)
        if job is None:
            return False
        self._job = job
        try:
            if job.run(budget):
                return True
        except OSError as error:
            self._give_up(job, error)
            return False
        self._adopt(job)
        return True

    def _plan(self, ratio: float | None) -> Job | None:
        found = candidates(self._segments)
        number = pick_any(found) if ratio is None else pick(found, ratio)
        if number is None:
            return None
        old = self._segments[number]
        remove = any(candidate.number == number and not candidate.kept for candidate in found)
        drop = droppable(self._segments, number)
        return Job(old, drop, self._directory, self._fs, self._manifest, self._stats, remove=remove)

    def _adopt(self, job: Job) -> None:
        self._job = None
        old, new = job.old, job.new
        self._maps.pop(old.number, None)
        old.close()
        if new is None:
            del self._segments[old.number]
        else:
            inherit(old, new, job.drop)
            self._segments[old.number] = new

    def _give_up(self, job: Job, error: OSError) -> None:
        """A full disk leaves the old segment in use. After any other error nothing on the medium is trusted."""
        self._job = None
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and not job.switching:
            job.abandon()
            return
        failure = StoreFailed(f"{job.old.path}: {error.strerror or error} while its space was reclaimed")
        self._fail(failure)
        raise failure from error


def candidates(segments: dict[int, Segment]) -> list[Candidate]:
    """The sealed segments, oldest first.

    Tombstones may go only once no older segment holds a dead version: it could be of the same key, and would be
    taken for a live one when the store is read again.
    """
    found = []
    clean = True
    for number in sorted(segments)[:-1]:
        part = segments[number]
        dead = part.dead_bytes + (part.grave_bytes if clean else 0)
        found.append(Candidate(number, part.size, part.record_bytes - dead, dead, part.extents is not None))
        clean = clean and not part.dead
    return found


def droppable(segments: dict[int, Segment], number: int) -> AbstractSet[int]:
    """The addresses of the records that may go from a segment now."""
    part = segments[number]
    clean = not any(segments[older].dead for older in segments if older < number)
    return {*part.dead, *part.graves} if clean else set(part.dead)


def inherit(old: Segment, new: Segment, dropped: AbstractSet[int]) -> None:
    """Tell a new segment of the dead records of the old one that it still holds."""
    for address in old.dead:
        if address not in dropped:
            new.dead.append(address)
            new.dead_bytes += new.length_at(address)
    for address in old.graves:
        if address not in dropped:
            new.graves.append(address)
            new.grave_bytes += new.length_at(address)
