"""Scrubs a store now and then, beside everything else, and raises the alarm CORRUPT when something has rotted."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from brainctl.clock import Clock
from brainctl.engine.background.scrubber import Scrub
from brainctl.engine.engine import Engine
from brainctl.node.backend import Backend
from brainctl.node.local.token_bucket import Bucket

_log = logging.getLogger(__name__)
PIECE_BYTES = 256 << 10
"""How much one step reads."""


@dataclass(frozen=True, slots=True)
class ScrubOptions:
    """When to scrub, and how fast."""

    interval: float = 0.0
    """Seconds from the beginning of one pass to that of the next; 0 scrubs only when asked to."""
    rate: int = 16 << 20
    """Bytes per second that are read at most; 0 does not bound it."""


@dataclass(slots=True)
class ScrubState:
    """What the scrubbing of a store has come to."""

    running: bool = False
    passes: int = 0
    """That were finished since the store was opened."""
    bytes: int = 0
    """Read by all passes."""
    finished_at: float = 0.0
    """When the last pass was finished, in seconds since the epoch; 0 before the first."""
    findings: list[str] = field(default_factory=list)
    """Of the last pass, or of the one that is running."""
    skipped: list[str] = field(default_factory=list)
    """Files that it could not look at whole."""


class Scrubber:
    """Runs for as long as its backend."""

    def __init__(
        self, backend: Backend, engine: Engine, clock: Clock, options: ScrubOptions, alarm: Callable[[], None]
    ) -> None:
        """`alarm` is called when a pass has found the first damage."""
        self._backend = backend
        self._engine = engine
        self._clock = clock
        self._options = options
        self._alarm = alarm
        self.state = ScrubState()
        if options.interval:
            backend.call_later(options.interval, self._due)

    def _due(self) -> None:
        self.start()
        self._backend.call_later(self._options.interval, self._due)

    def start(self) -> None:
        """Begin a pass, unless one is under way."""
        if self.state.running:
            return
        self.state.running = True
        self.state.findings, self.state.skipped = [], []
        self._backend.spawn(self._pass())

    async def _pass(self) -> None:
        state, scrub = self.state, self._engine.scrub()
        bucket = Bucket(self._options.rate, 0, self._clock.monotonic())
        before, paid = state.bytes, 0
        try:
            for work in scrub.run(PIECE_BYTES):
                await asyncio.to_thread(work)
                state.bytes = before + scrub.bytes
                self._tell(scrub)
                # A piece is counted when the next one is asked for.
                await asyncio.sleep(bucket.take(scrub.bytes - paid, self._clock.monotonic()))
                paid = scrub.bytes
            self._tell(scrub)
            state.bytes = before + scrub.bytes
            state.passes += 1
            state.finished_at = self._clock.wall()
            state.skipped = scrub.skipped
        finally:
            state.running = False

    def _tell(self, scrub: Scrub) -> None:
        for finding in scrub.findings[len(self.state.findings) :]:
            _log.error("scrub: %s", finding)
            if not self.state.findings:
                self._alarm()
            self.state.findings.append(finding)
