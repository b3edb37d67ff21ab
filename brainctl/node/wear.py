"""Keeps the count of what a store writes to its medium, over restarts, and says what takes its space."""

import asyncio
from pathlib import Path
from typing import NamedTuple

from brainctl.clock import Clock
from brainctl.engine import wear
from brainctl.engine.engine import Engine
from brainctl.engine.stats import Stats
from brainctl.engine.wear import Wear
from brainctl.node.medium import Medium

SAVE_SECONDS = 3600.0
STEP_KEYS = 512
"""How many keys are looked at before requests get their turn."""


class Space(NamedTuple):
    """What takes the space of a store, in bytes."""

    live: int
    """Newest versions of keys."""
    history: int
    """Older versions, and tombstones, that can still be read."""
    dead: int
    """What compaction has left to reclaim."""
    other: int
    """Headers, padding, small records."""


class WearLog:
    """The counts of one open store."""

    def __init__(self, medium: Medium, engine: Engine, clock: Clock) -> None:
        self._medium = medium
        self._engine = engine
        self._clock = clock
        self._directory = Path(engine.directory)
        self._counted = Stats()
        self._kept: Wear | None = None
        medium.call_later(SAVE_SECONDS, self._due)

    def now(self) -> Wear:
        """All that was counted up to now."""
        if self._kept is None:
            now = self._clock.wall()
            self._kept = wear.load(self._directory) or Wear(now, now)
        stats = self._engine.stats
        self._kept.add(wear.difference(stats, self._counted), self._clock.wall())
        self._counted = stats
        return self._kept

    def close(self) -> None:
        """Keep what was counted, if a change was made."""
        if self._engine.stats.records > self._counted.records or self._kept is not None:
            wear.save(self._directory, wear.render(self.now()))

    def _due(self) -> None:
        self._medium.call_later(SAVE_SECONDS, self._due)
        if self._engine.stats.written_bytes == self._counted.written_bytes:
            return
        self._medium.spawn(asyncio.to_thread(wear.save, self._directory, wear.render(self.now())))


async def space(engine: Engine) -> Space:
    """Look at every live key, with pauses: what has changed meanwhile is counted as it was or as it is."""
    live = 0
    start: bytes | None = b""
    while start is not None:
        found, start = engine.live_bytes(start, STEP_KEYS)
        live += found
        await asyncio.sleep(0)
    in_use, records = engine.size_in_use, engine.record_bytes
    return Space(live, max(in_use - live, 0), records - in_use, max(engine.size - records, 0))
