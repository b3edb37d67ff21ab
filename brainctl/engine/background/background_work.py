"""Offer what an engine does beside reads and writes: reclaim, the index, scrubs.

Each is an iterator of pieces of work, which the owner runs on any thread, and between two of which it serves others.
"""

from collections.abc import Callable, Iterator

from brainctl.engine.background.index_compactor import IndexCompactor
from brainctl.engine.background.job import Work, rest
from brainctl.engine.background.reclaimer import Reclaimer
from brainctl.engine.background.scrubber import Scrub
from brainctl.engine.index.log_coverage import LogCoverage
from brainctl.engine.log.log_writer import LogWriter
from brainctl.engine.options import EngineOptions
from brainctl.engine.read.read_view import ReadView
from brainctl.engine.recovery.open_store import Opened
from brainctl.engine.stats import Stats


class BackgroundWork:
    """The background work of one engine."""

    def __init__(
        self,
        options: EngineOptions,
        opened: Opened,
        writer: LogWriter,
        view: ReadView,
        meta: dict[bytes, bytes],
        write_empty: Callable[[], None],
    ) -> None:
        """Create the work over a store that was opened; none of it is under way.

        Args:
            options: say when work is due.
            opened: the files of the store, and what was read of them.
            writer: writes the log.
            view: what readers see: what they still need is not removed, and what they see is what a run covers.
            meta: the small records as they are now.
            write_empty: writes an empty batch, and so begins a new segment, when nobody else writes.
        """
        directory, fs, _held, names, state = opened
        self._options = options
        self._fs = fs
        self._writer = writer
        self._view = view
        self._meta = meta
        self._write_empty = write_empty
        self._index = state.index
        self._segments = state.segments
        fail, segments, garbage = writer.fail, state.segments, state.garbage
        self._indexing = IndexCompactor(directory, fs, names, state.index, garbage, segments, state.covered, fail)
        settled, retire = self._settled_now, writer.space.retire
        self._reclaim = Reclaimer(directory, fs, names, garbage, settled, segments, view.maps, fail, retire)
        self.new_records = state.read
        """Log that is not in runs yet, as the number of records that take as long to read; the engine adds to it."""
        self.new_bytes = 0
        """Bytes of log that are not in runs yet; the engine adds to it."""
        self._reclaiming: Iterator[Work] | None = None
        """Rewrite that `reclaim_step` has begun."""
        self._index_writing: Iterator[Work] | None = None
        """Flush or merge that `index_step` has begun."""

    def close(self) -> None:
        """End all work, and wait for the piece that is running."""
        self._reclaim.close()
        self._indexing.close()

    @property
    def stats(self) -> Stats:
        """Return what the work has counted."""
        total = Stats()
        total.add(self._reclaim.stats)
        total.add(self._indexing.stats)
        return total

    def reclaim(
        self, budget: int, *, everything: bool = False, nudge: Callable[[], None] | None = None
    ) -> Iterator[Work]:
        """Reclaim the space of what compaction has made dead, while reads and writes go on.

        Yields pieces of work that read, write and sync about `budget` bytes each; the caller runs each, on any thread,
        before it asks for the next. A full disk ends the run and leaves everything as it was.

        Args:
            budget: bytes of one piece of work.
            everything: rewrite every segment that gets smaller at all, instead of those of which
                `options.garbage_ratio` is dead. For that the log must continue in a new segment.
            nudge: called until the log does so, to have an empty batch written when there is nothing else; by default
                that is written here and now.

        Raises:
            StoreFailed: any I/O error but a full disk.
            StoreDamaged: a record that is to be kept is damaged.
        """
        if everything:
            yield from self._reclaim.sweep(self._view.removable, budget)
            yield from self._begin_segment(nudge or self._write_empty)
            if self._index.runs or self._index.frozen is not None:
                yield from self.index(budget // 8, everything=True)  # a byte of index takes longer
        ratio = None if everything else self._options.garbage_ratio
        yield from self._reclaim.run(self._view.removable, budget, ratio)
        if everything and not self._reclaim.is_closed():
            yield self._writer.space.drop

    @property
    def reclaim_bytes(self) -> int:
        """Return the bytes that reclaim has read and written since the store was opened.

        Those of the work under way are included, and as many as take as long as the look-ups of dead versions.
        """
        return self._reclaim.moved

    @property
    def index_due(self) -> bool:
        """Return whether enough is new that `index` is to be called."""
        return self._much_is_new() and not self._indexing.busy

    @property
    def index_wanted(self) -> bool:
        """Return whether enough is new that `index` with `everything` pays while nothing else is to be done."""
        return self.new_records >= self._options.quiet_records and not self._indexing.busy

    def index(self, budget: int, *, everything: bool = False) -> Iterator[Work]:
        """Write the memtable as a run, once that is due or with `everything`, and merge runs of about one size.

        Yields pieces of work as `reclaim` does; both may be under way at once. A full disk ends it and leaves
        everything as it was.

        Raises:
            StoreFailed: any I/O error but a full disk.
            StoreDamaged: a run is damaged.
        """
        write = self._much_is_new() or (everything and bool(self.new_records or self.new_bytes))
        write = write and self._view.indexed == self._view.revision
        yield from self._indexing.run(
            self._cover, self._much_is_new, self._view.removable(), budget, write=write and bool(self._segments)
        )

    def index_step(self, budget: int, *, everything: bool = False) -> bool:
        """Run one piece of `index` here and now, and return whether there may be more to do."""
        self._index_writing = self._index_writing or self.index(budget, everything=everything)
        work = next(self._index_writing, None)
        if work is None:
            self._index_writing = None
            return False
        work()
        return True

    def scrub(self) -> Scrub:
        """Return a pass over all that the store has on its disk now. Reads, writes and reclaim may go on meanwhile.

        It does nothing until the pieces of work of `Scrub.run` are run.
        """
        return Scrub(self._fs, self._segments, self._index.runs, self._reclaim.is_replacing)

    def reclaim_step(self, budget: int) -> bool:
        """Run one piece of `reclaim` here and now, and return whether there may be more to do."""
        self._reclaiming = self._reclaiming or self.reclaim(budget)
        work = next(self._reclaiming, None)
        if work is None:
            self._reclaiming = None
            return False
        work()
        return True

    def defragment(self, budget: int = 1 << 20) -> Iterator[None]:
        """Run `reclaim` of everything here and now, and yield after each piece."""
        for work in self.reclaim(budget, everything=True):
            work()
            yield

    def _much_is_new(self) -> bool:
        if self._view.indexed != self._view.revision:  # a run covers whole commits
            return False
        return self.new_records >= self._options.run_records or self.new_bytes >= self._options.run_bytes

    def _settled_now(self) -> int | None:
        return self._indexing.settled

    def _cover(self) -> LogCoverage:
        """Return how far the log is published, with the state of the store there; what is new counts from here on."""
        self.new_records = self.new_bytes = 0
        return LogCoverage.of(self._segments, self._view.revision, self._view.compacted, self._meta)

    def _begin_segment(self, nudge: Callable[[], None]) -> Iterator[Work]:
        """Make the log continue in a new segment when something in the last one is dead."""
        last = max(self._segments, default=0)
        if not last or not (self._segments[last].dead or self._segments[last].graves):
            return
        self._writer.begin_segment()
        while max(self._segments) == last:
            nudge()
            yield rest
