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
from typing import Any, Final, Generic, TypeVar

from brainctl.errors import STOPPED, ApiError, BrainctlError
from brainctl.mvcc.steps import Steps
from brainctl.node.answer import INTERNAL

T = TypeVar("T")
SLICE_KEYS: Final = 1024
"""What one turn of the event loop may cost in long work, in keys: about two milliseconds."""
AT_A_TIME: Final = 16
"""How many pieces of work take turns."""

_log = logging.getLogger(__name__)


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
    ) -> None:
        """Do work, now and in later turns, and call `settle` with its result or error.

        `hold` is called when there is more than one slice, and what it returns at the end, however that comes.
        """
        work = _Work(steps, settle)
        if self._slice(work):
            return
        if hold is not None:
            work.release = hold()
        self._waiting.append(work)
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
            self._waiting.insert(min(len(self._waiting), AT_A_TIME - 1), work)
            self._schedule()

    def close(self) -> None:
        """End all work with an error: the store is about to be closed."""
        while self._waiting:
            work = self._waiting.popleft()
            work.steps.close()
            work.end(ApiError(STOPPED))

    def _slice(self, work: "_Work[T]") -> bool:
        """Do one slice; whether that was the last."""
        spent = 0
        try:
            while spent < SLICE_KEYS:
                spent += next(work.steps)
        except StopIteration as stop:
            work.end(stop.value)
        except BrainctlError as error:
            work.end(error)
        except Exception:  # noqa: BLE001 - somebody waits for the result, and others for their slice
            _log.exception("long work failed")
            work.end(ApiError(INTERNAL))
        else:
            self.largest = max(self.largest, spent)
            return False
        self.largest = max(self.largest, spent)
        return True


class _Work(Generic[T]):
    """Steps, and who waits for them."""

    __slots__ = ("_settle", "release", "steps")

    def __init__(self, steps: Steps[T], settle: Callable[[T | BrainctlError], None]) -> None:
        self.steps = steps
        self.release: Callable[[], None] | None = None
        self._settle = settle

    def end(self, result: T | BrainctlError) -> None:
        """Let go of what was held, and settle."""
        if self.release is not None:
            self.release()
        self._settle(result)
