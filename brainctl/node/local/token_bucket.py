"""A token bucket: how long to wait so that a rate is kept. The caller passes the time."""


class Bucket:
    """Lets `rate` bytes per second through, and up to `burst` bytes at once after a pause. Times are in seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Create a full bucket; a `rate` of 0 lets everything through."""
        self.rate = rate
        self._burst = burst
        self._level = burst
        """The bytes that may go through at once; negative after more went through than the rate allows."""
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount` bytes that have already gone through; return how many seconds to wait before the next."""
        if not self.rate:
            return 0.0
        self._level = min(self._burst, self._level + (now - self._at) * self.rate) - amount
        self._at = now
        return max(0.0, -self._level / self.rate)
