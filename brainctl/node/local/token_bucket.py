"""A token bucket: how long to wait so that a rate is kept. The clock is the caller's."""


class Bucket:
    """Lets `rate` bytes per second through, and up to `burst` at once after a pause. Seconds are of any one clock."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """A `rate` of 0 lets everything through."""
        self.rate = rate
        self._burst = burst
        self._level = burst
        """What may go through at once; below 0 is what has gone through too early."""
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """`amount` bytes have gone through; how many seconds to wait before the next."""
        if not self.rate:
            return 0.0
        self._level = min(self._burst, self._level + (now - self._at) * self.rate) - amount
        self._at = now
        return max(0.0, -self._level / self.rate)
