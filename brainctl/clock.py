"""Time, as a parameter: nothing else in brainctl asks the operating system what time it is."""

import time
from collections.abc import Sequence
from operator import mul
from typing import Protocol


class Clock(Protocol):
    """The two clocks that brainctl reads."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; they never go back, not even when the wall clock is set."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch; they may jump."""


class Durations:
    """A histogram of durations: counts by powers of two of a unit, and their sum."""

    __slots__ = ("_last", "_per_unit", "counts", "seconds", "unit")

    def __init__(self, unit: float, buckets: int) -> None:
        """Create a histogram of `buckets` whose first bound is `unit` seconds, and each next one twice as large."""
        self.unit = unit
        self._per_unit = 1 / unit
        self._last = buckets
        self.counts = [0] * (buckets + 1)
        """The first counts what was below the first bound, the last what was not below any."""
        self.seconds = 0.0
        """All of it together."""

    def add(self, seconds: float, times: int = 1) -> None:
        """Count something that took `seconds`, `times` times."""
        at = int(seconds * self._per_unit).bit_length()
        self.counts[min(at, self._last)] += times
        self.seconds += seconds * times

    def add_all(self, seconds: Sequence[float], times: Sequence[int]) -> None:
        """Count each of `seconds` as often as `times` has it, as `add` does."""
        counts, per_unit, last = self.counts, self._per_unit, self._last
        for at, count in zip([int(one * per_unit).bit_length() for one in seconds], times, strict=True):
            counts[at if at < last else last] += count  # noqa: FURB136 - a third of the cost of min()
        self.seconds += sum(map(mul, seconds, times))


class SystemClock:
    """The clocks of the machine."""

    monotonic = staticmethod(time.monotonic)
    """Seconds of CLOCK_MONOTONIC; without a Python frame, because every group commit asks a dozen times."""

    def wall(self) -> float:
        """Return seconds of CLOCK_REALTIME."""
        return time.time()


class ManualClock:
    """A clock for tests: it moves only when told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        """Return the time it was set to."""
        return self.now

    def wall(self) -> float:
        """Return the time it was set to."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self.now += seconds
