"""Long writes, which are evaluated by themselves, and the writes that wait meanwhile."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

AT_A_TIME: Final = 16
"""Writes that have waited are evaluated so many in a turn of the event loop."""

Action = Callable[[], None]


class Lane:
    """Taken from when a long write comes until everything that waited has been evaluated; in the order of coming."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_free: Action) -> None:
        """`on_free` is called when the lane has become free."""
        self.taken = False
        self._loop = loop
        self._on_free = on_free
        self._long: Action | None = None
        self._waiting: deque[Action] = deque()
        self._busy = False
        """A long write has begun, and is not durable."""
        self._scheduled = False

    def take(self, begin: Action) -> None:
        """A long write has come; `begin` will be called from `go_on`."""
        self.taken = True
        self._long = begin

    def wait(self, submit: Action) -> None:
        """A write has come while the lane is taken; `submit` will be called."""
        self._waiting.append(submit)

    def go_on(self) -> None:
        """Everything that was evaluated is durable: begin the long write, or evaluate what has waited for it."""
        begin, self._long = self._long, None
        self._busy = begin is not None
        if begin is not None:
            begin()
        elif self.taken and not self._scheduled:
            self._submit_some()

    def empty(self) -> None:
        """Submit everything at once: it will be refused."""
        self.taken = False
        begin, self._long = self._long, None
        waiting, self._waiting = self._waiting, deque()
        for action in (*([begin] if begin else ()), *waiting):
            action()

    def _submit_some(self) -> None:
        self._scheduled = False
        for _ in range(AT_A_TIME):
            if not self._waiting:
                break
            self.taken = False
            self._waiting.popleft()()
            if self._long is not None or self._busy:
                return  # it was long itself: the others go on waiting
        self.taken = bool(self._waiting)
        if self.taken:
            self._scheduled = True
            self._loop.call_soon(self._submit_some)
        else:
            self._on_free()
