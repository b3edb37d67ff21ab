"""When an open batch is handed to the log: at once, or when those who were just answered have written again.

Clients that write one after the other come back in a moment. A batch that is closed before, because some others are
waiting, leaves the clients in two halves, which take turns: twice the syncs, and each waits for the other. So a batch
waits for as many writes as there were, but not long; and it no longer waits, for a while, where that proves in vain.
"""

PATIENCE = 0.002
"""Seconds that a batch waits at most."""
_LONGEST_PAUSE = 256
"""Batches that at most are not made to wait after a vain wait."""


class BatchWindow:
    """The decision for one backend: on numbers alone. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.wanted = 0
        """How many writes the open batch waits for; 0 when it does not wait."""
        self._until = 0.0
        self._pause = 0
        """Batches that will not wait."""
        self._vain = 0
        """How long the last pause was."""

    def answered(self, writes: int, waiting: int, now: float) -> None:
        """`writes` were answered, and `waiting` others are in the open batch."""
        if self._pause:
            self._pause -= 1
        elif writes > 1:
            self.wanted, self._until = writes + waiting, now + PATIENCE

    def delay(self, waiting: int, now: float) -> float:
        """How long the open batch, which has `waiting` writes, may wait for more; 0.0 when it is to be closed now."""
        return self._until - now if waiting < self.wanted and now < self._until else 0.0

    def closed(self, writes: int) -> None:
        """The open batch was closed with so many writes."""
        if not self.wanted:
            return
        if writes * 4 >= self.wanted * 3:
            self._vain = 0
        else:
            self._vain = min(2 * self._vain + 1, _LONGEST_PAUSE)
            self._pause = self._vain
        self.wanted = 0
