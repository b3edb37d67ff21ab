"""An event loop in virtual time, with its threads: what would run beside it runs on it, after a random while.

Everything that happens is in the order of one heap, so a run depends on its seed and on nothing else.
"""

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from heapq import heappop, heappush
from random import Random
from typing import Any

import pytest

from brainctl.clock import ManualClock
from brainctl.node.local import group_commit

SLOW_SECONDS = 0.02
"""What a thread does takes up to this long, and up to this long passes before the loop hears of it."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The part of an event loop that a node needs."""

    def __init__(self, clock: ManualClock, rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._heap: list[tuple[float, int, asyncio.Handle]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.errors: list[str] = []
        """Exceptions that nobody took."""

    # -- what asyncio asks for ----------------------------------------------------------------------------------

    def time(self) -> float:
        return self._clock.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._push(self._clock.now, handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._push(max(when, self._clock.now), handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._clock.now + delay, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_later(self._rng.uniform(0, SLOW_SECONDS), callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **_: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self)
        self._tasks = [other for other in self._tasks if not other.done()]
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        del executor
        future = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - as an executor does
                future.set_exception(error)

        self.call_later(self._rng.uniform(0, SLOW_SECONDS), run)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def _push(self, when: float, handle: asyncio.Handle) -> None:
        self._count += 1
        heappush(self._heap, (when, self._count, handle))

    # -- what a simulation does with it -------------------------------------------------------------------------

    def step(self, until: float) -> bool:
        """Run the next thing that is due by `until`, whose time it becomes; False when there is none."""
        if not self._heap or self._heap[0][0] > until:
            return False
        when, _, handle = heappop(self._heap)
        self._clock.now = max(self._clock.now, when)
        if not handle.cancelled():
            handle._run()
        return True

    def abandon(self) -> None:
        """The process is gone: what runs goes no further."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                task.get_coro().close()  # type: ignore[union-attr]
        self._heap.clear()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the loop that code finds as the running one."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(before)


class _Writer:
    """A queue and the thread that empties it, in one."""

    def __init__(self, loop: SimulatedLoop, rng: Random) -> None:
        self._loop = loop
        self._rng = rng
        self._items: deque[Any] = deque()
        self._target: Callable[[], None] = lambda: None

    def thread(self, target: Callable[[], None], **_: Any) -> "_Writer":
        self._target = target
        return self

    def start(self) -> None:
        """As of a thread."""

    def join(self) -> None:
        """As of a thread."""

    def put(self, item: Any) -> None:
        """As of a queue: the thread finds it after a while."""
        if item is not None:
            self._items.append(item)
            self._loop.call_later(self._rng.uniform(0, SLOW_SECONDS), self._run)

    def get(self) -> Any:
        """As of a queue; None, which ends the thread, when it is empty."""
        return self._items.popleft() if self._items else None

    def _run(self) -> None:
        if self._items:
            self._target()


@contextmanager
def simulated_writer(loop: SimulatedLoop, rng: Random) -> Iterator[None]:
    """The thread of a local backend that is made within is one of the loop."""
    writer = _Writer(loop, rng)
    threading = type("threading", (), {"Thread": staticmethod(writer.thread)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_commit, "SimpleQueue", lambda: writer)
        patch.setattr(group_commit, "threading", threading)
        yield
