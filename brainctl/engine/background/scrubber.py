"""Read everything that a live store has on its disk, to find damage before a reader does.

It reads past the page cache where that is possible: the disk is to be checked, not the memory. Meanwhile reads,
writes and reclaim go on; what reclaim replaces is read in its new form. Bytes of the log that are still to be written
are not checked.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import partial

from brainctl.engine.background.job import Work
from brainctl.engine.format.batch_reader import batches, extents
from brainctl.engine.format.segment_header import DATA, unpack_header
from brainctl.engine.index.run_reader import Run
from brainctl.engine.log.segment import Segment
from brainctl.engine.vfs.filesystem import File, FileSystem
from brainctl.errors import StoreDamaged

_PIECE = 256 << 10
"""Bytes that one read asks for."""
_KEYS = 4096
"""Keys of a run that are checked in one piece of work."""
_ATTEMPTS = 8
"""Number of times that a segment is read again because it was replaced meanwhile."""


class Scrub:
    """One pass over one store."""

    def __init__(
        self,
        fs: FileSystem,
        segments: dict[int, Segment],
        runs: tuple[Run, ...],
        busy: Callable[[int], bool],
    ) -> None:
        """Create a pass.

        Args:
            fs: the file system.
            segments: the live segments by number.
            runs: those of the index.
            busy: returns whether reclaim is replacing the segment of a number.
        """
        self._fs = fs
        self._segments = segments
        self._runs = runs
        self._busy = busy
        self.findings: list[str] = []
        """A sentence for each place that is not as it was written, with file and offset."""
        self.skipped: list[str] = []
        """Files that could not be read to their end because they were replaced again and again."""
        self.bytes = 0
        """Bytes read so far."""
        self.finished = False

    def run(self, budget: int) -> Iterator[Work]:
        """Yield the pass in pieces of work of about `budget` bytes; the caller runs each, on any thread, before the
        next.

        A damaged file is a finding, and the pass goes on with the next one.
        """
        waiting = deque((number, _ATTEMPTS) for number in sorted(self._segments))
        while waiting:
            number, attempts = waiting.popleft()
            part = self._segments.get(number)
            if part is None:
                continue  # reclaim has removed it
            reading = _Reading(self._fs, part.path, partial(_segment, part, part.end))
            yield from self._do(reading, budget)
            if not reading.error:
                continue
            if self._segments.get(number) is part and not self._busy(number):
                self.findings.append(reading.error)
            elif attempts:
                waiting.append((number, attempts - 1))
            else:
                self.skipped.append(part.path)
        for run in self._runs:
            reading = _Reading(self._fs, run.path, partial(_run, run))
            yield from self._do(reading, budget)
            if reading.error and not reading.gone:
                self.findings.append(reading.error)
        self.finished = True

    def _do(self, reading: "_Reading", budget: int) -> Iterator[Work]:
        while not reading.finished:
            before = reading.bytes
            yield partial(reading.work, budget)
            self.bytes += reading.bytes - before


class _Reading:
    """The reading of one file, in pieces on any thread."""

    def __init__(self, fs: FileSystem, path: str, steps: Callable[["_Reading"], Generator[None, None, None]]) -> None:
        self._fs = fs
        self.path = path
        self.file: File | None = None
        self.error = ""
        """Problem with the file; empty when there is none."""
        self.gone = False
        """Whether the file is missing, which is then the error."""
        self.finished = False
        self.bytes = 0
        self._steps = steps(self)
        self._window = b""
        self._at = 0

    def work(self, budget: int) -> None:
        """Read and check about `budget` bytes more."""
        end = self.bytes + budget
        try:
            if self.file is None:
                self.file = self._fs.open(self.path, write=False)
            while self.bytes < end and not self.finished:
                self.finished = next(self._steps, self) is self
        except FileNotFoundError:
            self.gone = self.finished = True
            self.error = f"{self.path}: the file is missing (offset 0)"
        except StoreDamaged as damage:
            self.error, self.finished = str(damage), True
        except OSError as error:
            self.error = f"{self.path}: {error.strerror or error} at offset {self._at + len(self._window)}"
            self.finished = True
        if self.finished and self.file is not None:
            self.file.close()

    def __getitem__(self, place: slice) -> bytes:
        """Return bytes of the file as they are on the disk; fewer at its end."""
        offset, length = place.start, place.stop - place.start
        if not self._at <= offset <= offset + length <= self._at + len(self._window):
            assert self.file is not None
            self._at, self._window = offset, b""
            self._window = self.file.read_through(max(length, _PIECE), offset)
            self.bytes += len(self._window)
        return self._window[offset - self._at : offset - self._at + length]


def _segment(part: Segment, end: int, reading: _Reading) -> Generator[None, None, None]:
    """Check the header of a segment, and its batches or extents up to `end`; yield after each.

    Raises:
        StoreDamaged: something is not as it was written.
    """
    unpack_header(reading[0:DATA], part.path)
    walk = batches if part.extents is None else extents
    for _ in walk(reading, part.seed, DATA, end, records=True, path=part.path):
        yield


def _run(run: Run, reading: _Reading) -> Generator[None, None, None]:
    """Check that the disk holds what the memory shows of a run, and that this is intact; yield now and then.

    Raises:
        StoreDamaged: it is not.
    """
    for at in range(0, run.header.size, _PIECE):
        data = reading[at : min(at + _PIECE, run.header.size)]
        offset = run.differs(data, at)
        if offset is not None:
            raise StoreDamaged(f"{run.path}: the byte at offset {offset} is damaged on the disk")
        yield
    for number, _key in enumerate(run.prove()):
        if number % _KEYS == 0:
            yield
