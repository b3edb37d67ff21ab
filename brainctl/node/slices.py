"""The one place where long work is cut into slices, between which the event loop serves others.

Work is a generator of steps (mvcc/steps.py). The first slice is done at once, so that what is short is answered as if
there were no slices. What is not finished then goes on in later turns of the event loop: one slice in each turn,
whatever is waiting, so that a turn takes no longer when many ask for much. Of what waits, a few are worked on in turn;
the others begin when one of these is finished, which bounds the memory of answers that are being made.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from brainctl.errors import STOPPED, ApiError, BrainctlError
from brainctl.mvcc.steps import Steps
from brainctl.node.backend import TakesSteps
from brainctl.node.reply_guard import INTERNAL

T = TypeVar("T")
SLICE_KEYS: Final = 1024
"""What one turn of the event loop may cost in long work, in keys: about two milliseconds."""
AT_A_TIME: Final = 16
"""How many pieces of work take turns."""

_log = logging.getLogger(__name__)


class Slice(NamedTuple):
    """What one slice came to."""

    cost: int
    done: bool
    result: Any = None


def one_slice(steps: Steps[Any]) -> Slice:
    """Do one slice of some work; raises what the work raises."""
    spent = 0
    try:
        while spent < SLICE_KEYS:
            spent += next(steps)
    except StopIteration as stop:
        return Slice(spent, True, stop.value)
    return Slice(spent, False)


async def in_slices(backend: object, steps: Steps[T]) -> T:
    """Do work on a backend in slices, wherever its data is, and return the result; BrainctlError."""
    if isinstance(backend, TakesSteps):
        return await backend.in_slices(steps)
    while True:
        one = one_slice(steps)
        if one.done:
            result: T = one.result
            return result
        await asyncio.sleep(0)


class Slices:
    """The long work of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[_Work[Any]] = deque()
        self._scheduled = False
        self.largest = 0
        """The most that one turn has cost, in keys."""

    def __len__(self) -> int:
        """How many pieces of work are not finished."""
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

        `hold` is called when there is more than one slice, and what it returns at the end, however that comes. What is
        `urgent`, because others wait for it, has every second turn.
        """
        work = _Work(steps, settle, urgent=urgent)
        if self._slice(work):
            return
        if hold is not None:
            work.release = hold()
        self._waiting.insert(1 if urgent else len(self._waiting), work)
        self._schedule()

    async def result(self, steps: Steps[T], hold: Callable[[], Callable[[], None]] | None = None) -> T:
        """Do work in slices and return its result; BrainctlError. Cancelling ends the work."""
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
        self._scheduled = False
        if not self._waiting:
            return
        work = self._waiting.popleft()
        if self._waiting:
            self._schedule()  # before anything can go wrong
        if not self._slice(work):
            self._waiting.insert(1 if work.urgent else AT_A_TIME - 1, work)
            self._schedule()

    def close(self) -> None:
        """End all work with an error: the store is about to be closed."""
        while self._waiting:
            work = self._waiting.popleft()
            work.steps.close()
            work.end(ApiError(STOPPED))

    def _slice(self, work: "_Work[T]") -> bool:
        """Do one slice; whether that was the last."""
        try:
            cost, done, result = one_slice(work.steps)
        except BrainctlError as error:
            work.end(error)
        except Exception:  # noqa: BLE001 - somebody waits for the result, and others for their slice
            _log.exception("long work failed")
            work.end(ApiError(INTERNAL))
        else:
            self.largest = max(self.largest, cost)
            if done:
                work.end(result)
            return done
        return True


class _Work(Generic[T]):
    """Steps, and who waits for them."""

    __slots__ = ("_settle", "release", "steps", "urgent")

    def __init__(self, steps: Steps[T], settle: Callable[[T | BrainctlError], None], *, urgent: bool) -> None:
        self.urgent = urgent
        self.steps = steps
        self.release: Callable[[], None] | None = None
        self._settle = settle

    def end(self, result: T | BrainctlError) -> None:
        """Let go of what was held, and settle."""
        if self.release is not None:
            self.release()
        self._settle(result)
