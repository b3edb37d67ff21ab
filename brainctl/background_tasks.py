"""Tasks and timers beside the requests, which end with the backend that owns them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class BackgroundTasks:
    """The tasks and timers of one backend."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._ended = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work as a task, which `cancel` cancels."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action after some seconds, unless `end_timers` is called before."""
        if self._ended:
            return

        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = self._loop.call_later(seconds, run)
        self._timers.add(handle)

    def end_timers(self) -> None:
        """Cancel all timers, and start none any more."""
        self._ended = True
        for timer in self._timers:
            timer.cancel()

    def cancel(self) -> None:
        """Cancel all tasks; `wait` waits for their ends."""
        for task in list(self._tasks):
            task.cancel()

    async def wait(self) -> None:
        """Wait for the tasks that run now; their errors are not raised."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
