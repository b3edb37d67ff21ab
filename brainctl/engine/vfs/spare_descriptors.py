"""Descriptors that are kept back for the store: connections may take all others, and a write still finds one.

A process has only so many descriptors. When there is none left for a file of the store, one that was kept back is
closed and its place taken; it is opened again once there is room.
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
    """The descriptors of this process that are kept back."""

    def __init__(self) -> None:
        self.wanted = 0
        """How many are to be kept back."""
        self.used = 0
        """How often one had to be given up."""
        self._held: list[int] = []
        self._lock = Lock()

    def keep(self, count: int) -> None:
        """Keep back `count` descriptors from now on; OSError when there are not so many."""
        self.wanted = count
        while len(self._held) < count:
            self._held.append(_placeholder())

    def drop(self) -> None:
        """Keep back none any more."""
        self.wanted = 0
        while self._give_up():
            pass

    def opened(self, action: Callable[[], T]) -> T:
        """Return what `action` returns, which opens one descriptor; OSError. Any thread may call it."""
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
"""Of this process."""
