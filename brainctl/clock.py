"""Time, as a parameter: nothing else in brainctl asks the operating system what time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """What brainctl may know of time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back, not even when the wall clock is set."""

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump."""


class SystemClock:
    """The clocks of the machine."""

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

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
