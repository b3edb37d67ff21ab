"""Long work cut into slices, between which the event loop serves other requests; no other module does this.

Work is a generator of steps (mvcc/steps.py): each step yields its cost, in keys. The first slice is done at once, so
that short work is answered as if there were no slices. Unfinished work goes on in later turns of the event loop: one
slice in each turn, however much is waiting, so that a turn takes no longer when many clients ask for large ranges. Of
the waiting work, AT_A_TIME pieces are worked on in turn; the others begin when one of these is finished, which bounds
the memory of the answers that are being built.

Example: a range of 100,000 keys while single keys are read:

    turn 1    range: keys 1 to 1024 (the first slice, inside the call)
    turn 2    gets from the sockets; range: keys 1025 to 2048
    ...
    turn 98   gets from the sockets; range: its last slice; its reply is called
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from brainctl.errors import STOPPED, ApiError, BrainctlError
from brainctl.log import Fact
from brainctl.mvcc.steps import Steps, in_turns, one_slice
from brainctl.node.backend import Backend
from brainctl.node.reply_guard import INTERNAL

T = TypeVar("T")
AT_A_TIME: Final = 16
"""Number of pieces of work that take turns."""

_log = logging.getLogger(__name__)


async def in_slices(backend: Backend, steps: Steps[T]) -> T:
    """Do work on a backend in slices, wherever its data is, and return the result.

    Raises:
        BrainctlError: The work raised it, or the backend was closed meanwhile.
    """
    sliced = backend.steps
    if sliced is not None:
        return await sliced.in_slices(steps)
    return await in_turns(steps, partial(asyncio.sleep, 0))


class Slices:
    """The long work of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[_Work[Any]] = deque()
        """Unfinished work; the first AT_A_TIME pieces take turns."""
        self._scheduled = False
        self.largest = 0
        """The largest cost of one turn so far, in keys."""

    def __len__(self) -> int:
        """Return how many pieces of work wait for their next slice."""
        return len(self._waiting)

    def run(
        self,
        steps: Steps[T],
        settle: Callable[[T | BrainctlError], None],
        hold: Callable[[], Callable[[], None]] | None = None,
        *,
        urgent: bool = False,
    ) -> None:
        """Do work, now and in later turns, and call `settle` with its result or error.

        Args:
            steps: The work.
            settle: Receives the result or the error, exactly once.
            hold: Is called when there is more than one slice (such as to pin the revision that is read). It returns a
                function that is called at the end, in success and failure alike.
            urgent: Gives the work every second turn, because others wait for it (a large commit).
        """
        work = _Work(steps, settle, urgent=urgent)
        if self._slice(work):
            return
        if hold is not None:
            work.release = hold()
        self._waiting.insert(1 if urgent else len(self._waiting), work)
        self._schedule()

    async def result(self, steps: Steps[T], hold: Callable[[], Callable[[], None]] | None = None) -> T:
        """Do work in slices and return its result. Cancelling the caller ends the work.

        Raises:
            BrainctlError: The work raised it, or `close` was called.
        """
        done: asyncio.Future[T] = self._loop.create_future()

        def settle(result: T | BrainctlError) -> None:
            if done.done():
                return
            if isinstance(result, BrainctlError):
                done.set_exception(result)
            else:
                done.set_result(result)

        self.run(steps, settle, hold)
        try:
            return await done
        finally:
            steps.close()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Do one slice of the first work, and queue it again, behind the work with which it takes turns."""
        self._scheduled = False
        if not self._waiting:
            return
        work = self._waiting.popleft()
        if self._waiting:
            self._schedule()  # before the slice, so that an exception in it cannot stop the other work
        if not self._slice(work):
            self._waiting.insert(1 if work.urgent else AT_A_TIME - 1, work)
            self._schedule()

    def close(self) -> None:
        """End all work with the error STOPPED: the store is about to be closed."""
        while self._waiting:
            work = self._waiting.popleft()
            work.steps.close()
            work.end(ApiError(STOPPED))

    def _slice(self, work: "_Work[T]") -> bool:
        """Do one slice; return whether the work has ended with it."""
        try:
            cost, done, result = one_slice(work.steps)
        except BrainctlError as error:
            work.end(error)
        except Exception:  # noqa: BLE001 - somebody waits for the result, and others for their slice
            _log.exception(Fact("long work failed"))
            work.end(ApiError(INTERNAL))
        else:
            self.largest = max(self.largest, cost)
            if done:
                work.end(result)
            return done
        return True


class _Work(Generic[T]):
    """Steps, and the callback that waits for their result."""

    __slots__ = ("_settle", "release", "steps", "urgent")

    def __init__(self, steps: Steps[T], settle: Callable[[T | BrainctlError], None], *, urgent: bool) -> None:
        self.urgent = urgent
        self.steps = steps
        self.release: Callable[[], None] | None = None
        self._settle = settle

    def end(self, result: T | BrainctlError) -> None:
        """Release what was held, and settle."""
        if self.release is not None:
            self.release()
        self._settle(result)
