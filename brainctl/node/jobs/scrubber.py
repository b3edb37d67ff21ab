"""Scrubbing of a store now and then, beside the requests; it raises the alarm CORRUPT when data is damaged."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from brainctl.clock import Clock
from brainctl.engine.background.scrubber import Scrub
from brainctl.engine.engine import Engine
from brainctl.errors import RESTORE
from brainctl.log import Fact
from brainctl.node.backend import Backend
from brainctl.node.local.token_bucket import Bucket

_log = logging.getLogger(__name__)
PIECE_BYTES = 256 << 10
"""The bytes that one step reads."""


@dataclass(frozen=True, slots=True)
class ScrubOptions:
    """Options for scrubbing: the interval, and the rate."""

    interval: float = 0.0
    """Seconds from the beginning of one pass to that of the next; 0 scrubs only on request."""
    rate: int = 16 << 20
    """The most bytes per second that are read; 0 is no bound."""


@dataclass(slots=True)
class ScrubState:
    """The progress and the findings of the scrubbing of a store."""

    running: bool = False
    passes: int = 0
    """Number of passes that were finished since the store was opened."""
    bytes: int = 0
    """The bytes that all passes have read."""
    finished_at: float = 0.0
    """The end of the last finished pass, in seconds since the epoch; 0 before the first."""
    findings: list[str] = field(default_factory=list)
    """The damage found by the running pass, or else by the last one."""
    skipped: list[str] = field(default_factory=list)
    """The files that the last pass could not read whole."""


class Scrubber:
    """Scrubs a store for as long as its backend is open."""

    def __init__(
        self, backend: Backend, engine: Engine, clock: Clock, options: ScrubOptions, alarm: Callable[[], None]
    ) -> None:
        """Create a scrubber and schedule its passes; `alarm` is called when a pass finds its first damage."""
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
        """Begin a pass, unless one is running."""
        if self.state.running:
            return
        self.state.running = True
        self.state.findings, self.state.skipped = [], []
        self._backend.spawn(self._pass())

    async def _pass(self) -> None:
        """Read the whole store once, on another thread, at the permitted rate."""
        state, scrub = self.state, self._engine.background.scrub()
        bucket = Bucket(self._options.rate, 0, self._clock.monotonic())
        before, paid = state.bytes, 0
        try:
            for work in scrub.run(PIECE_BYTES):
                await asyncio.to_thread(work)
                state.bytes = before + scrub.bytes
                self._tell(scrub)
                # `scrub.bytes` counts a piece only when the next one is requested, so the wait is one piece late.
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
        """Log new findings, and raise the alarm at the first one of the pass."""
        for finding in scrub.findings[len(self.state.findings) :]:
            _log.error(Fact("a scrub has found damage", finding=finding, advice=RESTORE))
            if not self.state.findings:
                self._alarm()
            self.state.findings.append(finding)
