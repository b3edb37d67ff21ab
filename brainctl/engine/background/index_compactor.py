"""Decide when runs of the index are written, and which: of the memtable when it has grown, and of runs of about one
size.

Each is a job in pieces of background work. Merging takes long in a large store, so a memtable that has grown meanwhile
has its turn between two pieces: what an opening has to read stays bounded.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial

from brainctl.engine.background.job import Jobs, Work
from brainctl.engine.background.run_build import RunBuild, RunInput
from brainctl.engine.format.record import header_of
from brainctl.engine.index.dead_versions import DeadVersions
from brainctl.engine.index.key_index import KeyIndex
from brainctl.engine.index.log_coverage import LogCoverage, Superseded
from brainctl.engine.index.run_merge import merged, pick_runs, still_held
from brainctl.engine.index.run_reader import Run
from brainctl.engine.log.manifest import Manifest
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK, Segment
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import BrainctlError


class IndexCompactor:
    """The jobs that write and merge the runs of one engine."""

    def __init__(
        self,
        directory: str,
        fs: FileSystem,
        manifest: Manifest,
        index: KeyIndex,
        garbage: DeadVersions,
        segments: dict[int, Segment],
        covered: LogCoverage | None,
        fail: Callable[[BrainctlError], None],
    ) -> None:
        """Create the jobs of an engine.

        Args:
            directory: that of the store.
            fs: the file system.
            manifest: lists the runs.
            index: the index, whose runs are exchanged.
            garbage: superseded versions, of which a run takes those of its memtable.
            segments: the live segments by number.
            covered: how far the runs cover the log; None without runs.
            fail: stops the engine after an I/O error.
        """
        self._directory = directory
        self._fs = fs
        self._manifest = manifest
        self._index = index
        self._garbage = garbage
        self._segments = segments
        self._next = max((run.number for run in index.runs), default=0) + 1
        self._durable = 0 if covered is None else covered.segment
        """The number of the segment in which the place lies up to which runs cover the log."""
        self._covered: LogCoverage | None = None
        """Position of the log up to which the frozen memtable covers it."""
        self._superseded = Superseded()
        self._busy = False
        self._jobs = Jobs("the index was written", manifest, fail)
        self.stats = self._jobs.stats

    def run(
        self, cover: Callable[[], LogCoverage], due: Callable[[], bool], compacted: int, budget: int, *, write: bool
    ) -> Iterator[Work]:
        """Write the memtable as a run with `write` and whenever it is due, and merge runs, in pieces of work.

        A full disk ends it and leaves everything as it was. It does nothing while another call is under way.

        Args:
            cover: returns the place in the log up to which the store is published.
            due: returns whether the memtable has grown enough to be written.
            compacted: the revision up to which what is dead may be removed.
            budget: bytes of one piece of work, about.
            write: write the memtable first.

        Raises:
            StoreFailed: any I/O error but a full disk.
            StoreDamaged: a run is damaged.
        """
        if self._busy:
            return
        self._busy = True
        try:
            if write or self._index.frozen is not None:
                yield from self._run_of_delta(cover, compacted, budget)
            while not self._jobs.is_closed() and (picked := self._pick()) is not None:
                old = list(self._index.runs[slice(*picked)])
                if not (yield from self._merge_all(old, cover, due, compacted, budget)):
                    return
                yield old.clear  # nobody else has their files mapped: unmapping takes the kernel a while
        finally:
            self._busy = False

    def _merge_all(
        self, old: Sequence[Run], cover: Callable[[], LogCoverage], due: Callable[[], bool], compacted: int, budget: int
    ) -> Generator[Work, None, bool]:
        """Make one run of several, and return whether to go on."""
        job = self._merge(old, compacted)
        for work in self._jobs.run(job.job, budget, job.abandon):
            yield work
            # A finished job is named by the manifest: the index must exchange the runs before any other run is written.
            if due() and not job.job.finished and not self._jobs.is_closed():
                yield from self._run_of_delta(cover, compacted, budget)
        if job.run is None:
            return False
        self._index.exchange(old, job.run)
        for run in old:
            with suppress(OSError):
                self._fs.unlink(run.path)
        return True

    @property
    def busy(self) -> bool:
        """Return whether a job is under way."""
        return self._busy

    @property
    def settled(self) -> int | None:
        """Return the number below which segments may be rewritten: those that no opening has to read as they were
        written.

        None stands for all: while there are no runs, an opening reads everything in the order of the log.
        """
        if self._index.runs:
            return self._durable
        return None if self._covered is None else self._covered.segment

    def close(self) -> None:
        """Wait for the piece of work that is running, and let no other begin."""
        self._jobs.close()

    def _run_of_delta(self, cover: Callable[[], LogCoverage], compacted: int, budget: int) -> Iterator[Work]:
        """Freeze the memtable unless one is frozen, and write it as a run."""
        if self._index.frozen is None:
            self._covered = cover()
            self._superseded = self._garbage.cut()
            self._index.freeze()
        frozen, covered, superseded = self._index.frozen, self._covered, self._superseded
        assert frozen is not None
        assert covered is not None
        segments = dict(self._segments)
        source = RunInput(
            len(frozen.entries),
            frozen.pages,
            lambda: still_held(superseded, compacted, partial(_held, segments)),
            lambda: covered,
        )
        job = self._build(source, lambda: ((), self._index.runs))
        yield from self._jobs.run(job.job, budget, job.abandon)
        if job.run is not None:
            self._index.replace_frozen(job.run)
            self._durable = covered.segment
            self._covered, self._superseded = None, Superseded()

    def _pick(self) -> tuple[int, int] | None:
        """Return which runs to merge; None for none, and while a memtable is frozen."""
        if self._index.frozen is not None:
            return None
        return pick_runs([run.header.entries for run in self._index.runs])

    def _merge(self, old: Sequence[Run], compacted: int) -> RunBuild:
        """Return the job that makes one run of several."""
        segments = dict(self._segments)
        drop = partial(_gone, segments, compacted) if old[-1] is self._index.runs[-1] else None
        source = RunInput(
            sum(run.header.entries for run in old),
            lambda: merged(old, drop),
            lambda: still_held(_joined(old), compacted, partial(_held, segments)),
            old[0].covered,
        )
        return self._build(source, partial(self._around, old))

    def _around(self, old: Sequence[Run]) -> tuple[Sequence[Run], Sequence[Run]]:
        """Return the runs that are newer than some, and those that are older."""
        runs = self._index.runs
        at = runs.index(old[0])
        return runs[:at], runs[at + len(old) :]

    def _build(self, source: RunInput, others: Callable[[], tuple[Sequence[Run], Sequence[Run]]]) -> RunBuild:
        number, self._next = self._next, self._next + 1
        return RunBuild(self._directory, self._fs, self._manifest, number, source, others)


def _joined(runs: Sequence[Run]) -> Superseded:
    """Return the superseded versions of several runs, oldest first."""
    joined = Superseded()
    for run in reversed(runs):
        joined.extend(run.superseded())
    return joined


def _held(segments: dict[int, Segment], address: int) -> bool:
    """Return whether a segment still has the record of an address."""
    segment = segments.get(address >> OFFSET_BITS)
    return segment is not None and segment.has(address & OFFSET_MASK)


def _gone(segments: dict[int, Segment], compacted: int, address: int) -> bool:
    """Return whether no reader needs a tombstone any more."""
    segment = segments.get(address >> OFFSET_BITS)
    offset = address & OFFSET_MASK
    if segment is None or not segment.has(offset):
        return True
    mod = header_of(segment.record(offset)).mod_revision
    return mod < compacted
