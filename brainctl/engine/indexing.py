"""Writes runs of the index, in pieces of background work: of the delta when it has grown, and of runs of like size.

A run is whole and durable before the manifest names it; until then the log has all that is in it. A job that was
interrupted leaves a file that no manifest names, which the next opening removes.
"""

import errno
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from threading import Event, Lock
from typing import NamedTuple

from brainctl.engine.files import File, FileSystem
from brainctl.engine.garbage import Garbage
from brainctl.engine.index import KeyIndex
from brainctl.engine.manifest import Manifest
from brainctl.engine.merging import merged, pick_runs, still_held
from brainctl.engine.reclaim import Work
from brainctl.engine.record import HEADER
from brainctl.engine.run import Covered, Run, Superseded, run_name
from brainctl.engine.runwriter import RunWriter, fill
from brainctl.engine.segment import OFFSET_BITS, OFFSET_MASK, Segment
from brainctl.engine.stats import Stats
from brainctl.errors import BrainctlError, StoreDamaged, StoreFailed


class Source(NamedTuple):
    """What a run is to hold."""

    keys: int
    """At most so many."""
    pairs: Callable[[], Iterable[tuple[bytes, int]]]
    superseded: Callable[[], Superseded]
    covered: Callable[[], Covered]


class RunJob:
    """The writing of one run. Touches nothing but files and its own state."""

    def __init__(
        self,
        directory: str,
        fs: FileSystem,
        manifest: Manifest,
        number: int,
        source: Source,
        runs: Sequence[Run | None],
    ) -> None:
        """`runs` are those that the store will have, newest first; None stands for the new one."""
        self.path = f"{directory}/{run_name(number)}"
        self.run: Run | None = None
        """The new one, once it is done."""
        self.finished = False
        self.error: OSError | StoreDamaged | None = None
        self.stats = Stats()
        self._directory = directory
        self._fs = fs
        self._manifest = manifest
        self._number = number
        self._source = source
        self._runs = [number if run is None else run.number for run in runs]
        self._made = False
        self._budget = 0
        self._steps = self._write()

    def run_piece(self, budget: int) -> None:
        """Write about `budget` bytes, unless the job is `finished`."""
        self._budget = budget
        try:
            self.finished = next(self._steps, None) is None
        except (OSError, StoreDamaged) as error:
            self.error = error
            self.finished = True

    def abandon(self) -> None:
        """Remove what has been written. OSError."""
        if self._made:
            self._fs.unlink(self.path)

    def _write(self) -> Generator[bool, None, None]:
        file = self._fs.create(self.path)
        self._made = True
        try:
            yield from self._fill(file)
        finally:
            file.close()
        yield True
        self._fs.sync_directory(self._directory)
        self.stats.syncs += 1
        run = Run.open(self._directory, self._fs, self._manifest.store, self._number)
        self._manifest.list_runs(self._runs)
        self.run = run

    def _fill(self, file: File) -> Generator[bool, None, None]:
        source = self._source
        writer = RunWriter(file, self._manifest.store, self._number, source.keys)
        for size in fill(writer, source.pairs()):
            self._budget -= size
            if self._budget <= 0:
                writer.flush()
                self._sync(file)
                yield True
        self.stats.index_bytes += writer.finish(source.superseded(), source.covered())
        self._sync(file)

    def _sync(self, file: File) -> None:
        file.sync()
        self.stats.syncs += 1


class Indexing:
    """The runs of one engine."""

    def __init__(
        self,
        directory: str,
        fs: FileSystem,
        manifest: Manifest,
        index: KeyIndex,
        garbage: Garbage,
        segments: dict[int, Segment],
        covered: Covered | None,
        fail: Callable[[BrainctlError], None],
    ) -> None:
        self._directory = directory
        self._fs = fs
        self._manifest = manifest
        self._index = index
        self._garbage = garbage
        self._segments = segments
        self._fail = fail
        self._next = max((run.number for run in index.runs), default=0) + 1
        self._durable = 0 if covered is None else covered.segment
        """The segment of the place in the log up to which runs cover it."""
        self._covered: Covered | None = None
        """What the frozen delta covers the log up to."""
        self._superseded = Superseded()
        self._turn = Lock()
        self._closed = Event()
        self._busy = False
        self.stats = Stats()

    def run(self, cover: Callable[[], Covered], compacted: int, budget: int, *, write: bool) -> Iterator[Work]:
        """Make a run of the delta with `write`, then merge runs, in pieces of work of about `budget` bytes.

        A full disk ends it and leaves everything as it was. Raises StoreFailed on any other I/O error, StoreDamaged
        when a run is not sound. One at a time.
        """
        if self._busy:
            return
        self._busy = True
        try:
            if write or self._index.frozen is not None:
                yield from self._run_of_delta(cover, compacted, budget)
            while not self._closed.is_set() and (picked := self._pick()) is not None:
                job = self._merge(*picked, compacted)
                yield from self._do(job, budget)
                if job.run is None:
                    return
                old = self._index.runs[slice(*picked)]
                self._index.exchange(old, job.run)
                for run in old:
                    with suppress(OSError):
                        self._fs.unlink(run.path)
        finally:
            self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return self._busy

    @property
    def settled(self) -> int | None:
        """Segments with numbers below this may be rewritten: those that no opening has to read as they were written.

        None: all; while there are no runs, an opening reads everything in the order of the log.
        """
        if self._index.runs:
            return self._durable
        return None if self._covered is None else self._covered.segment

    def close(self) -> None:
        """Wait for the piece of work that is running, and let no other begin."""
        with self._turn:
            self._closed.set()

    def _run_of_delta(self, cover: Callable[[], Covered], compacted: int, budget: int) -> Iterator[Work]:
        if self._index.frozen is None:
            self._covered = cover()
            self._superseded = self._garbage.cut()
            self._index.freeze()
        frozen, covered, superseded = self._index.frozen, self._covered, self._superseded
        assert frozen is not None
        assert covered is not None
        segments = dict(self._segments)
        source = Source(
            len(frozen.entries),
            frozen.rows,
            lambda: still_held(superseded, compacted, partial(_held, segments)),
            lambda: covered,
        )
        job = self._job(source, [None, *self._index.runs])
        yield from self._do(job, budget)
        if job.run is not None:
            self._index.settle(job.run)
            self._durable = covered.segment
            self._covered, self._superseded = None, Superseded()

    def _pick(self) -> tuple[int, int] | None:
        if self._index.frozen is not None:
            return None
        return pick_runs([run.header.entries for run in self._index.runs])

    def _merge(self, first: int, last: int, compacted: int) -> RunJob:
        runs = self._index.runs
        old, segments = runs[first:last], dict(self._segments)
        drop = partial(_gone, segments, compacted) if last == len(runs) else None
        source = Source(
            sum(run.header.entries for run in old),
            lambda: merged(old, drop),
            lambda: still_held(_joined(old), compacted, partial(_held, segments)),
            old[0].covered,
        )
        return self._job(source, [*runs[:first], None, *runs[last:]])

    def _job(self, source: Source, runs: Sequence[Run | None]) -> RunJob:
        number, self._next = self._next, self._next + 1
        return RunJob(self._directory, self._fs, self._manifest, number, source, runs)

    def _do(self, job: RunJob, budget: int) -> Iterator[Work]:
        while not job.finished:
            yield partial(self._work, job, budget)
            if self._closed.is_set():
                return
        self.stats.add(job.stats)
        error = job.error
        if error is None:
            return
        if isinstance(error, StoreDamaged):
            raise error
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and not self._manifest.in_doubt:
            job.abandon()
            return
        failure = StoreFailed(f"{job.path}: {error.strerror or error} while the index was written")
        self._fail(failure)
        raise failure from error

    def _work(self, job: RunJob, budget: int) -> None:
        with self._turn:
            if not self._closed.is_set():
                job.run_piece(budget)


def _joined(runs: Sequence[Run]) -> Superseded:
    joined = Superseded()
    for run in reversed(runs):
        joined.extend(run.superseded())
    return joined


def _held(segments: dict[int, Segment], address: int) -> bool:
    segment = segments.get(address >> OFFSET_BITS)
    return segment is not None and segment.has(address & OFFSET_MASK)


def _gone(segments: dict[int, Segment], compacted: int, address: int) -> bool:
    """Whether no reader needs a tombstone any more."""
    segment = segments.get(address >> OFFSET_BITS)
    offset = address & OFFSET_MASK
    if segment is None or not segment.has(offset):
        return True
    mod: int = HEADER.unpack_from(segment.record(offset))[2]
    return mod < compacted
