"""The count of what a store writes to its disk, kept over restarts, and the report of what takes its space."""

import asyncio
from pathlib import Path
from typing import NamedTuple

from brainctl.clock import Clock
from brainctl.engine import write_history
from brainctl.engine.engine import Engine
from brainctl.engine.stats import Stats
from brainctl.engine.write_history import WriteHistory
from brainctl.node.backend import Backend

SAVE_SECONDS = 3600.0
"""Seconds between two saves; a killed process loses the counts of up to so long a time."""
STEP_KEYS = 512
"""Number of keys that are read between two turns of the event loop."""


class Space(NamedTuple):
    """The bytes of a store by what takes them."""

    live: int
    """The newest versions of live keys."""
    history: int
    """Older versions, and tombstones, that can still be read."""
    dead: int
    """Versions that were compacted and are not reclaimed yet."""
    other: int
    """Headers, padding, small records."""


class WearLog:
    """The write counts of one open store, saved every hour and at the end."""

    def __init__(self, backend: Backend, engine: Engine, clock: Clock) -> None:
        self._backend = backend
        self._engine = engine
        self._clock = clock
        self._directory = Path(engine.directory)
        self._counted = Stats()
        self._kept: WriteHistory | None = None
        backend.call_later(SAVE_SECONDS, self._due)

    def now(self) -> WriteHistory:
        """Return all that was counted up to now, with what earlier processes have saved."""
        if self._kept is None:
            now = self._clock.wall()
            self._kept = write_history.load(self._directory) or WriteHistory(now, now)
        stats = self._engine.stats
        self._kept.add(write_history.difference(stats, self._counted), self._clock.wall())
        self._counted = stats
        return self._kept

    def close(self) -> None:
        """Save the counts, if a change was made."""
        if self._engine.stats.records > self._counted.records or self._kept is not None:
            write_history.save(self._directory, write_history.render(self.now()))

    def _due(self) -> None:
        """Save the counts if bytes were written, on another thread; look again after SAVE_SECONDS."""
        self._backend.call_later(SAVE_SECONDS, self._due)
        if self._engine.stats.written_bytes == self._counted.written_bytes:
            return
        self._backend.spawn(asyncio.to_thread(write_history.save, self._directory, write_history.render(self.now())))


async def space(engine: Engine) -> Space:
    """Return the space of a store by kind.

    It reads the index entry of every live key, with pauses: what changes meanwhile is counted as before or after the
    change.
    """
    live = 0
    start: bytes | None = b""
    while start is not None:
        found, start = engine.live_bytes(start, STEP_KEYS)
        live += found
        await asyncio.sleep(0)
    in_use, records = engine.size_in_use, engine.record_bytes
    return Space(live, max(in_use - live, 0), records - in_use, max(engine.size - records, 0))
