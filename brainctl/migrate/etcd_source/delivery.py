"""The form of the change stream, and the time after which a silent one is given up. Pure: time is passed in.

etcd cuts a response into fragments by measuring the fragment anew for every event, so fragments of many small events
take it a time that grows with their square. Whole responses cost it nothing, but it puts the events of up to a
thousand revisions into one. So the stream is requested without fragments and with a limit on the size of a response;
with fragments while responses are larger than that; and without either when the fragments do not come.
"""

from enum import Enum
from typing import NamedTuple

from brainctl.stores.etcd.target import MAX_RECEIVE_BYTES

WHOLE_BYTES = 64 << 20
"""The largest response in bytes that is accepted without fragments."""
BATCH_REVISIONS = 1_000
"""The most revisions that etcd puts into one response (watchBatchMaxRevs)."""
STALL_SECONDS = 10.0
"""Seconds in which a stream may bring nothing while the source has moved on; it doubles after each stall."""
MAX_STALLS = 5
"""After more stalls than this since the last revision the migration ends with StreamBroken."""
ALIVE_BYTES = 4 << 10
"""Fewer bytes than this are no part of a response: gRPC keeps a connection alive with a few dozen."""


class Asked(NamedTuple):
    """The parameters of a watch."""

    fragment: bool
    max_receive: int


class Shape(Enum):
    """The three ways to ask."""

    WHOLE = Asked(fragment=False, max_receive=WHOLE_BYTES)
    FRAGMENTS = Asked(fragment=True, max_receive=WHOLE_BYTES)
    ANY_SIZE = Asked(fragment=False, max_receive=MAX_RECEIVE_BYTES)


_AFTER = {Shape.WHOLE: Shape.FRAGMENTS, Shape.FRAGMENTS: Shape.ANY_SIZE}
"""The way of asking to try next when one has failed."""


class Delivery:
    """Chooses how to ask for the next stream from how the last one went."""

    def __init__(self) -> None:
        self.shape = Shape.WHOLE
        self._from = 0
        """The revision after which the present way of asking began."""
        self._bytes = 0
        """Bytes of events since then."""

    def too_large(self, received: int) -> bool:
        """Note that a response after revision `received` is larger than the limit.

        Return False if no other way is left.
        """
        if self.shape not in _AFTER:
            return False
        self._turn(_AFTER[self.shape], received)
        return True

    def silent(self, received: int) -> bool:
        """Note that nothing arrives after revision `received`; return whether another way of asking may help."""
        if self.shape is not Shape.FRAGMENTS:
            return False
        self._turn(Shape.ANY_SIZE, received)
        return True

    def arrived(self, received: int, size: int, source: int) -> bool:
        """Note `size` bytes of events up to revision `received`, while the source was last seen at revision `source`.

        Returns:
            Whether to open the stream again, because the large responses are behind it.
        """
        if self.shape is Shape.WHOLE:
            return False
        self._bytes += size
        if received < source and received < self._from + BATCH_REVISIONS:
            return False
        small = received >= source or self._bytes <= WHOLE_BYTES // 2
        self._turn(Shape.WHOLE if small else self.shape, received)
        return small

    def _turn(self, shape: Shape, received: int) -> None:
        self.shape, self._from, self._bytes = shape, received, 0


class Silence:
    """Tells a stream that has stalled from one that is slow: of a slow one some bytes arrive."""

    def __init__(self, now: float) -> None:
        self._heard = now
        self._bytes = 0
        self._patience = STALL_SECONDS
        self.stalls = 0
        """The number of stalls since the last revision arrived."""

    def opened(self, now: float) -> None:
        """Record that the stream was opened (again): its silence is counted from now on."""
        self._heard, self._bytes = now, 0

    def arrived(self, now: float) -> None:
        """Record that a revision has arrived."""
        self._heard, self._patience, self.stalls = now, STALL_SECONDS, 0

    def busy(self, now: float) -> None:
        """Note that the stream is not being read at the moment."""
        self._heard = now

    def has_stalled(self, now: float, received: int | None) -> bool:
        """Return whether a stream that has revisions to deliver has stalled.

        Args:
            now: Seconds of the monotonic clock.
            received: The bytes that have arrived over its connection so far; None when they are not counted.
        """
        if received is not None and received >= self._bytes + ALIVE_BYTES:
            self._heard, self._bytes = now, received
        if now - self._heard <= self._patience:
            return False
        self.stalls += 1
        self._patience *= 2
        self._heard = now
        return True
