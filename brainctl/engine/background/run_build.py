"""Write one run of the index, in pieces.

A run is complete and durable before the manifest names it; until then the log has all that is in it. A job that was
interrupted leaves a file that no manifest names, which the next opening removes.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from brainctl.engine.background.job import Job
from brainctl.engine.format.file_names import run_name
from brainctl.engine.index.log_coverage import LogCoverage, Superseded
from brainctl.engine.index.run_reader import Run
from brainctl.engine.index.run_writer import RunWriter, fill
from brainctl.engine.log.manifest import Manifest
from brainctl.engine.vfs.filesystem import File, FileSystem

_SYNC_BYTES = 256 << 10
"""Bytes written between two syncs, few enough that a sync of the log does not have to wait for them."""


class RunInput(NamedTuple):
    """Input of a run to be written."""

    keys: int
    """The number of keys, at most."""
    pages: Callable[[], Iterable[tuple[list[bytes], list[int]]]]
    """Yields pages of keys in order, and their entries."""
    superseded: Callable[[], Superseded]
    """Returns the versions that were superseded, as the run keeps them."""
    covered: Callable[[], LogCoverage]
    """Returns the place in the log up to which the run covers it."""


class RunBuild:
    """The writing of one run. It touches only files and its own state."""

    def __init__(
        self,
        directory: str,
        fs: FileSystem,
        manifest: Manifest,
        number: int,
        source: RunInput,
        others: Callable[[], tuple[Sequence[Run], Sequence[Run]]],
    ) -> None:
        """Create the job, which has written nothing yet.

        Args:
            directory: that of the store.
            fs: the file system.
            manifest: lists the runs.
            number: that of the new run.
            source: what it is to hold.
            others: returns the runs that the store will have beside this one when it is done: newer ones, older ones.
        """
        self.job = Job(f"{directory}/{run_name(number)}", self._write())
        self.run: Run | None = None
        """The new run, once it is done."""
        self._directory = directory
        self._fs = fs
        self._manifest = manifest
        self._number = number
        self._source = source
        self._others = others
        self._made = False

    def abandon(self) -> None:
        """Remove what has been written."""
        if self._made:
            with suppress(OSError):  # the next opening removes it; no other run has its number
                self._fs.unlink(self.job.path)

    def _write(self) -> Generator[bool, None, None]:
        """Write the run, make it durable, and list it in the manifest; yield when the budget is used up."""
        file = self._fs.create(self.job.path)
        self._made = True
        try:
            yield from self._fill(file)
        finally:
            file.close()
        yield True
        self._fs.sync_directory(self._directory)
        self.job.stats.syncs += 1
        run = Run.open(self._directory, self._fs, self._manifest.store, self._number)
        newer, older = ([other.number for other in others] for others in self._others())
        self._manifest.list_runs([*newer, self._number, *older])
        self.run = run

    def _fill(self, file: File) -> Generator[bool, None, None]:
        """Write the pages of the run and its sections, with a sync after each _SYNC_BYTES."""
        source = self._source
        writer = RunWriter(file, self._manifest.store, self._number, source.keys)
        unsynced = 0
        for size in fill(writer, source.pages()):
            self.job.budget -= size
            unsynced += size
            if unsynced >= _SYNC_BYTES:
                writer.flush()
                self._sync(file)
                unsynced = 0
            if self.job.budget <= 0:
                yield True
        self.job.stats.index_bytes += writer.finish(source.superseded(), source.covered())
        self._sync(file)

    def _sync(self, file: File) -> None:
        file.sync()
        self.job.stats.syncs += 1
