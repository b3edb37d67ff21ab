"""The file of --checkpoint: written at most once a second, removed when the comparison is complete."""

from pathlib import Path
from typing import Final

from brainctl.clock import Clock
from brainctl.commands.verify.options import VerifyOptions
from brainctl.verify.checkpoint import CheckpointFile, Reached

PAUSE: Final = 1.0
"""Seconds between two writes, at least."""


class ProgressFile:
    """Progress of one comparison, kept in a file."""

    def __init__(self, order: VerifyOptions, clock: Clock) -> None:
        of: list[object] = [order.source, order.target, order.prefix, list(order.exclude), list(order.mapping or ())]
        self._file = CheckpointFile(Path(order.checkpoint), of)
        self._clock = clock
        self._written = clock.monotonic() - PAUSE

    def read(self) -> Reached | None:
        """Return where to go on; None to begin."""
        return self._file.read()

    def reached(self, reached: Reached) -> None:
        """Write the progress, unless that was done within PAUSE."""
        if self._clock.monotonic() - self._written >= PAUSE:
            self._file.write(reached)
            self._written = self._clock.monotonic()

    def complete(self) -> None:
        """Remove the file."""
        self._file.remove()
