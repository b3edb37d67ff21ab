"""The lane of long writes, each of which is evaluated by itself while later writes wait.

A transaction that reads or changes very much is evaluated in slices over several turns of the event loop. Nothing may
change what it reads meanwhile, so the writes that arrive after it wait in this lane.

    put 1, put 2        evaluated at once, in the open batch
    long transaction    `take`: the lane is taken
    put 3, put 4        `wait`: queued
    1 and 2 durable     `go_on`: the long transaction begins, in slices
    it is durable       `go_on`: puts 3 and 4 are evaluated, up to AT_A_TIME in a turn; then the lane is free
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

AT_A_TIME: Final = 16
"""Number of waiting writes that are evaluated in one turn of the event loop."""

Action = Callable[[], None]


class Lane:
    """The queue behind long writes, in order of arrival.

    It is taken from the arrival of a long write until everything that waited behind it has been evaluated.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_free: Action) -> None:
        """Create a free lane; `on_free` is called each time when the lane has become free again."""
        self.taken = False
        self._loop = loop
        self._on_free = on_free
        self._long: Action | None = None
        self._waiting: deque[Action] = deque()
        self._busy = False
        """Whether a long write has begun and is not durable yet."""
        self._scheduled = False

    def reserve(self, begin: Action) -> None:
        """Reserve the lane for a long write that has arrived; `go_on` will call `begin`."""
        self.taken = True
        self._long = begin

    def wait(self, submit: Action) -> None:
        """Queue a write that has arrived while the lane is taken; `submit` will be called when its turn comes."""
        self._waiting.append(submit)

    def go_on(self) -> None:
        """Begin the long write, or evaluate what has waited for it; everything evaluated before must be durable."""
        begin, self._long = self._long, None
        self._busy = begin is not None
        if begin is not None:
            begin()
        elif self.taken and not self._scheduled:
            self._submit_some()

    def empty(self) -> None:
        """Submit everything that waits at once; the store has failed, so all of it will be refused."""
        self.taken = False
        begin, self._long = self._long, None
        waiting, self._waiting = self._waiting, deque()
        for action in (*([begin] if begin else ()), *waiting):
            action()

    def _submit_some(self) -> None:
        """Evaluate up to AT_A_TIME of the waiting writes; stop at one that is long itself."""
        self._scheduled = False
        for _ in range(AT_A_TIME):
            if not self._waiting:
                break
            self.taken = False
            self._waiting.popleft()()
            if self._long is not None or self._busy:
                return  # it was long itself: the others wait until it is durable
        self.taken = bool(self._waiting)
        if self.taken:
            self._scheduled = True
            self._loop.call_soon(self._submit_some)
        else:
            self._on_free()
