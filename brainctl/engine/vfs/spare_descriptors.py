"""File descriptors kept in reserve for the store: connections may take all others, and a write still finds one.

A process has a limited number of descriptors. When there is none left for a file of the store, one of the reserve is
closed and its place taken; the reserve is filled again once there is room.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Final, TypeVar

T = TypeVar("T")
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Spare:
    """The reserved descriptors of this process; each is open on /dev/null."""

    def __init__(self) -> None:
        self.wanted = 0
        """The number of descriptors to keep in reserve."""
        self.used = 0
        """Number of times that one of them had to be given up."""
        self._held: list[int] = []
        self._lock = Lock()

    def keep(self, count: int) -> None:
        """Keep `count` descriptors in reserve from now on.

        Raises:
            OSError: The process cannot have that many.
        """
        self.wanted = count
        while len(self._held) < count:
            self._held.append(_placeholder())

    def drop(self) -> None:
        """Close the reserve."""
        self.wanted = 0
        while self._give_up():
            pass

    def opened(self, action: Callable[[], T]) -> T:
        """Call `action`, which opens one descriptor, and return its result. Any thread may call it.

        Raises:
            OSError: `action` failed, and not for want of a descriptor, or the reserve is used up, too.
        """
        if len(self._held) < self.wanted:
            self._refill()
        while True:
            try:
                return action()
            except OSError as error:
                if error.errno not in _NONE_LEFT or not self._give_up():
                    raise

    def _give_up(self) -> bool:
        with self._lock:
            if not self._held:
                return False
            os.close(self._held.pop())
            self.used += 1
            return True

    def _refill(self) -> None:
        with self._lock, suppress(OSError):
            while len(self._held) < self.wanted:
                self._held.append(_placeholder())


def _placeholder() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


SPARE: Final = Spare()
"""The reserve of this process."""
