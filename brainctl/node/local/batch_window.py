"""The decision to write an open batch at once, or to wait for the clients that were just answered to write again.

Clients that write in a closed loop come back in a moment. If a batch is closed earlier, because some other writes are
waiting, the clients fall into two halves that take turns: twice the syncs, and each half waits for the other. So a
batch waits for as many writes as were answered or waiting before, but at most PATIENCE. After a wait in vain the next
batches do not wait, twice as many each time. With 100 clients a batch has 97 writes, where it has
49 without waiting, and takes a third less of the processor (docs/internals/write-path.md).

Example with 100 clients: 100 writes are answered, none is waiting, so the next batch waits for 100 writes. If 97 have
joined after 2 ms, it is closed and counts as a success (at least three quarters). If only 10 have joined, the next
batch is not made to wait; after another failure 3 batches, then 7, up to 256.
"""

PATIENCE = 0.002
"""The longest wait of a batch, in seconds."""
_LONGEST_PAUSE = 256
"""The most batches that are not made to wait after a wait in vain."""


class BatchWindow:
    """The decision for one backend, made from numbers alone. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.wanted = 0
        """The number of writes that the open batch waits for; 0 when it does not wait."""
        self._until = 0.0
        self._pause = 0
        """The number of coming batches that will not wait."""
        self._vain = 0
        """The length of the last pause, in batches; 0 after a successful wait."""

    def answered(self, writes: int, waiting: int, now: float) -> None:
        """Note that `writes` writes were answered while `waiting` others are in the open batch."""
        if self._pause:
            self._pause -= 1
        elif writes > 1:
            self.wanted, self._until = writes + waiting, now + PATIENCE

    def delay(self, waiting: int, now: float) -> float:
        """Return for how many seconds the open batch, which has `waiting` writes, may wait; 0.0 to close it now."""
        return self._until - now if waiting < self.wanted and now < self._until else 0.0

    def closed(self, writes: int) -> None:
        """Note that the open batch was closed with this number of writes, and judge whether the wait was worth it."""
        if not self.wanted:
            return
        if writes * 4 >= self.wanted * 3:
            self._vain = 0
        else:
            self._vain = min(2 * self._vain + 1, _LONGEST_PAUSE)
            self._pause = self._vain
        self.wanted = 0
