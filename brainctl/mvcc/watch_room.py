"""The memory that watchers take: clients may ask for as many as they like, with keys as long as requests."""

from collections.abc import Callable
from typing import Final

UNBOUNDED: Final = 1 << 62
WATCHER_BYTES: Final = 1024
"""About what a watcher costs besides its keys."""
TOO_MANY: Final = "etcdserver: too many watchers"


class WatchRoom:
    """The watchers of all streams, in bytes."""

    def __init__(self, limit: int = UNBOUNDED) -> None:
        """Begin without watchers; they may take `limit` bytes."""
        self.limit = limit
        self.on_full: Callable[[], None] = lambda: None
        """Called when the first watcher is refused."""
        self.held = 0
        self.refused = 0
        """Watchers that were refused."""

    def reserve(self, size: int, own: int) -> bool:
        """Reserve `size` bytes for a watcher of a stream that holds `own`; False when there is no room.

        A stream gets no more than what it leaves to the others, so that one alone cannot take everything.
        """
        if own + size > self.limit - self.held:
            self.refused += 1
            if self.refused == 1:
                self.on_full()
            return False
        self.held += size
        return True

    def free(self, size: int) -> None:
        """Give `size` bytes back."""
        self.held -= size


def weight(start: bytes, end: bytes | None) -> int:
    """Return how many bytes a watcher of a range costs."""
    return WATCHER_BYTES + len(start) + len(end or b"")
