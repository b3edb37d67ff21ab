"""The figures of a running migration: rates, lag, time left."""

from collections import deque
from typing import NamedTuple

from brainctl.clock import Clock
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.state import Migration

RATE_SECONDS = 1.0
"""Rates are measured since the newest sample that is at least this old, in seconds: they show the present, and are 0
soon after the end.
"""
WINDOW = 5.0
"""Seconds over which the speed is averaged for the estimate of the time left."""


class Figures(NamedTuple):
    """The state of a migration. The names are those of the JSON output."""

    phase: Phase
    base_revision: int
    chosen_revision: int
    """The base revision at the beginning; another one than now when the source compacted it during the copy."""
    watermark: int
    source_revision: int
    keys: int
    keys_expected: int
    bytes: int
    events: int
    process_keys: int
    """The keys and events, below, that this process wrote."""
    process_events: int
    keys_per_second: float
    bytes_per_second: float
    events_per_second: float
    lag_revisions: int
    lag_seconds: float
    """Seconds since the source was where the target is now; 0 when the target has everything that was seen."""
    eta_seconds: float | None
    """Seconds until the copy is complete, or the lag is gone; None when it cannot be estimated."""
    leases: int
    resyncs: int
    retries: int
    elapsed_seconds: float


class _Sample(NamedTuple):
    at: float
    keys: int
    bytes: int
    events: int
    watermark: int


class Progress:
    """Samples a migration over time."""

    def __init__(self, migration: Migration, clock: Clock) -> None:
        self.retries = 0
        self._migration = migration
        self._clock = clock
        self._began = clock.monotonic()
        self._seen: deque[tuple[float, int]] = deque()
        """Times and revisions of the source beyond the watermark, oldest first."""
        self._samples: deque[_Sample] = deque([self._sample()])

    def source_at(self, revision: int) -> None:
        """Note that the source was at `revision` just now."""
        if not self._seen or revision > self._seen[-1][1]:
            self._seen.append((self._clock.monotonic(), revision))

    def figures(self) -> Figures:
        """Return the current figures."""
        migration, record = self._migration, self._migration.record
        now = self._sample()
        self._samples.append(now)
        while len(self._samples) > 2 and now.at - self._samples[0].at > WINDOW:
            self._samples.popleft()
        first = self._samples[0]
        seconds = max(now.at - first.at, 1e-3)
        last = next((sample for sample in reversed(self._samples) if now.at - sample.at >= RATE_SECONDS), first)
        span = max(now.at - last.at, 1e-3)
        # The base is complete when its last write is durable, a moment after the phase has changed.
        copying = record.phase in {Phase.NEW, Phase.COPYING} or migration.watermark < record.base
        lag = 0 if copying else max(0, migration.source - migration.watermark)
        return Figures(
            phase=record.phase,
            base_revision=record.base,
            chosen_revision=record.chosen or record.base,
            watermark=migration.watermark,
            source_revision=migration.source,
            keys=record.keys,
            keys_expected=record.expected,
            bytes=record.size,
            events=record.events,
            process_keys=migration.copied,
            process_events=migration.applied,
            keys_per_second=round(max(0, now.keys - last.keys) / span, 1),
            bytes_per_second=round(max(0, now.bytes - last.bytes) / span, 1),
            events_per_second=round(max(0, now.events - last.events) / span, 1),
            lag_revisions=lag,
            lag_seconds=round(0.0 if copying else self._lag_seconds(now), 3),
            eta_seconds=self._eta(now, first, seconds, max(0, record.expected - record.keys) if copying else None),
            leases=len(migration.leases.held),
            resyncs=record.resyncs,
            retries=self.retries,
            elapsed_seconds=round(now.at - self._began, 3),
        )

    def _sample(self) -> _Sample:
        record = self._migration.record
        return _Sample(self._clock.monotonic(), record.keys, record.size, record.events, self._migration.watermark)

    def _lag_seconds(self, now: _Sample) -> float:
        """Return the seconds since the source was first seen beyond the watermark."""
        while self._seen and self._seen[0][1] <= now.watermark:
            self._seen.popleft()
        return now.at - self._seen[0][0] if self._seen else 0.0

    def _eta(self, now: _Sample, first: _Sample, seconds: float, keys_left: int | None) -> float | None:
        """Estimate the seconds left by the speed of the last WINDOW seconds.

        While catching up, by how fast the watermark moves.
        """
        if keys_left is not None:
            rate = (now.keys - first.keys) / seconds
            return round(keys_left / rate, 1) if rate > 0 else None
        lag = self._migration.source - now.watermark
        if lag <= 0:
            return 0.0
        rate = (now.watermark - first.watermark) / seconds
        return round(lag / rate, 1) if rate > 0 else None
