"""What clients make the server hold: requests that are not whole, and answers that they do not read.

Each connection bounds its own, but there may be thousands of connections. So they report what they hold, and when it is
too much in all, those that hold the most for the longest time are cut off; the others go on.
"""

import logging
from typing import Final, Protocol

from brainctl.log import Fact
from brainctl.server.admission import memory_bytes

_log = logging.getLogger(__name__)
_ADVICE = "find the clients that do not read, or raise --max-client-memory"

SMALL_BYTES: Final = 64 << 10
"""Bytes below which a connection reports nothing: admission counts as much for each open connection."""
LEAST_BYTES: Final = 64 << 20
WATCH_SHARE: Final = 4
"""Divisor of the memory of clients; the quotient is for watchers, besides the rest."""
_KEPT: Final = 0.75
"""The share of the limit that may stay held after connections were cut off, so that this is not done for each read."""


def client_memory(limit: int) -> int:
    """Return what clients may have the server hold, in bytes; a `limit` of 0 is half of the memory."""
    return limit or max(LEAST_BYTES, memory_bytes() // 2)


class Holder(Protocol):
    """A connection, as far as it holds bytes for its client."""

    def measure(self) -> int:
        """Return how many bytes it holds now; 0 once it is closed."""

    def cut(self) -> None:
        """Close now, and drop what is held."""


class Buffers:
    """The bytes that all connections of a server hold, and their limit."""

    def __init__(self, limit: int = 0) -> None:
        """Set the limit, in bytes; 0 stands for half of the memory that this process may have."""
        self.limit = client_memory(limit)
        self.held = 0
        """Bytes that are held now, as far as connections have reported them."""
        self.refused = 0
        """Connections that were cut off because of what they held."""
        self._of: dict[Holder, int] = {}
        self._seconds: dict[Holder, int] = {}
        self._crowded = False

    def report(self, holder: Holder, size: int) -> None:
        """Note that `holder` holds `size` bytes, and cut connections off when that makes it too much in all."""
        self._count(holder, size)
        if self.held > self.limit:
            self._relieve()

    def forget(self, holder: Holder) -> None:
        """Note that a connection is closed."""
        self._count(holder, 0)

    def tick(self) -> None:
        """Measure what is held, once a second: what the sockets have taken meanwhile was not reported."""
        for holder in tuple(self._of):
            self._count(holder, holder.measure())
        for holder in self._of:
            self._seconds[holder] += 1
        if self._crowded and self.held <= self.limit * _KEPT:
            self._crowded = False
            _log.warning(
                Fact("connections are no longer closed for memory", held_bytes=self.held, limit_bytes=self.limit)
            )

    def _count(self, holder: Holder, size: int) -> None:
        self.held += size - self._of.get(holder, 0)
        if size:
            self._of[holder] = size
            self._seconds.setdefault(holder, 1)
        else:
            self._of.pop(holder, None)
            self._seconds.pop(holder, None)

    def _relieve(self) -> None:
        """Cut off those that hold the most for the longest time, until enough is free."""
        for holder in tuple(self._of):
            self._count(holder, holder.measure())
        if self.held <= self.limit:
            return
        if not self._crowded:
            self._crowded = True
            _log.warning(
                Fact(
                    "connections that hold the most memory are closed",
                    held_bytes=self.held,
                    limit_bytes=self.limit,
                    advice=_ADVICE,
                )
            )
        for holder in sorted(self._of, key=self._weight, reverse=True):
            if self.held <= self.limit * _KEPT:
                return
            self._count(holder, 0)
            self.refused += 1
            holder.cut()

    def _weight(self, holder: Holder) -> int:
        return self._of[holder] * self._seconds[holder]
