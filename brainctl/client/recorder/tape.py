"""The file of a recording: lines in the order in which operations returned, with marks between them."""

from collections.abc import Callable
from itertools import count

from brainctl.check.file import header_bytes, line_bytes
from brainctl.check.line import Header, Line
from brainctl.clock import Clock

MARK_LINES = 256
"""After how many lines a mark says since when the oldest operation is open."""


class Tape:
    """Writes a history as it happens."""

    def __init__(self, write: Callable[[bytes], object], header: Header, clock: Clock) -> None:
        """Write the header; `write` takes whole lines."""
        self._write = write
        self._clock = clock
        self._open: dict[int, int] = {}
        """Times of the calls that have not returned, in the order of the calls."""
        self._numbers = count()
        self._lines = 0
        self.answered = 0
        """Operations that were answered."""
        write(header_bytes(header))

    def now(self) -> int:
        """Return the time of the history, in nanoseconds."""
        return int(self._clock.monotonic() * 1e9)

    def call(self) -> tuple[int, int]:
        """Note that an operation is about to be sent; return its number for `end`, and the time."""
        number, now = next(self._numbers), self.now()
        self._open[number] = now
        return number, now

    def end(self, number: int, line: Line | None) -> None:
        """Write the line of an operation that has ended; None leaves nothing of it behind."""
        del self._open[number]
        if line is None:
            return
        self.answered += line.get("returned") is not None and "error" not in line
        self.add(line)

    def add(self, line: Line) -> None:
        """Write a line that is no operation."""
        self._write(line_bytes(line))
        self._lines += 1
        if self._lines % MARK_LINES == 0:
            since = next(iter(self._open.values()), self.now())
            self._write(line_bytes({"op": "open", "since": since}))
