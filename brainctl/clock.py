"""Time, as a parameter: nothing else in brainctl asks the operating system what time it is."""

import time
from collections.abc import Sequence
from operator import mul
from typing import Protocol


class Clock(Protocol):
    """What brainctl may know of time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back, not even when the wall clock is set."""

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump."""


class Durations:
    """How often something took how long: counts by powers of two of a unit, and the sum."""

    __slots__ = ("_last", "_per_unit", "counts", "seconds", "unit")

    def __init__(self, unit: float, buckets: int) -> None:
        """`unit` is in seconds, and the bound of the first bucket; each of the `buckets` bounds is twice the last."""
        self.unit = unit
        self._per_unit = 1 / unit
        self._last = buckets
        self.counts = [0] * (buckets + 1)
        """The first counts what was below the first bound, the last what was not below any."""
        self.seconds = 0.0
        """All of it together."""

    def add(self, seconds: float, times: int = 1) -> None:
        """Count something that took so long, so many times."""
        at = int(seconds * self._per_unit).bit_length()
        self.counts[min(at, self._last)] += times
        self.seconds += seconds * times

    def add_all(self, seconds: Sequence[float], times: Sequence[int]) -> None:
        """`add` for each of several."""
        counts, per_unit, last = self.counts, self._per_unit, self._last
        for at, count in zip([int(one * per_unit).bit_length() for one in seconds], times, strict=True):
            counts[at if at < last else last] += count  # noqa: FURB136 - a third of the cost of min()
        self.seconds += sum(map(mul, seconds, times))


class SystemClock:
    """The clocks of the machine."""

    monotonic = staticmethod(time.monotonic)
    """Seconds of CLOCK_MONOTONIC; without a Python frame, because every group commit asks a dozen times."""

    def wall(self) -> float:
        """Seconds of CLOCK_REALTIME."""
        return time.time()


class ManualClock:
    """A clock for tests: it moves only when told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        """The time it was set to."""
        return self.now

    def wall(self) -> float:
        """The time it was set to."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self.now += seconds
