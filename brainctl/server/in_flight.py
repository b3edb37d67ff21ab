"""Requests that the node has and has not answered: what clients write faster than the disk must not fill the memory."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from brainctl.log import Fact

_log = logging.getLogger(__name__)

MOST_BYTES: Final = 64 << 20
"""Bytes that a disk writes in a second or less: more in flight makes nothing faster."""
SMALL_BYTES: Final = 64 << 10
"""Bursts of requests up to this are let in ahead of larger ones, up to twice the limit."""
_SHARE: Final = 4
"""Divisor of the memory of clients; the quotient may be in flight."""


class InFlight:
    """The bytes of requests in flight, over all connections, and who waits until there are fewer."""

    def __init__(self, clients_bytes: int) -> None:
        """Begin without requests; `clients_bytes` are the bytes that the server may hold for its clients."""
        self.limit = min(MOST_BYTES, clients_bytes // _SHARE)
        self.held = 0
        self.delayed = 0
        """Requests, or bursts of them, that had to wait."""
        self._waiting: deque[Callable[[], object]] = deque()

    def admit(self, size: int, wake: Callable[[], object]) -> bool:
        """Let requests of `size` bytes in, to be followed by `release`; else False, and `wake` is called later."""
        after = self.held + size
        # The second: a request larger than the limit is let in too, although small ones come all the time.
        has_room = after <= self.limit or self.held * 2 <= self.limit
        if has_room or (size <= SMALL_BYTES and after <= 2 * self.limit):
            self.held = after
            return True
        if not self.delayed:
            _log.warning(Fact("requests are delayed: clients write faster than the store", limit_bytes=self.limit))
        self.delayed += 1
        self._waiting.append(wake)
        return False

    def release(self, size: int) -> None:
        """Note that requests are answered, and let others try again."""
        self.held -= size
        if self._waiting and self.held * 2 <= self.limit:
            waiting, self._waiting = self._waiting, deque()
            for wake in waiting:
                wake()
