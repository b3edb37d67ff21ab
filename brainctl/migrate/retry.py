"""Requests to a source that is away for a while are repeated; nothing that writes is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from brainctl.clock import Clock
from brainctl.errors import ApiError, BrainctlError, Code, ConnectionFailed, UnknownOutcome

Answer = TypeVar("Answer")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
_PASSING = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.ABORTED})


def passes(error: BrainctlError) -> bool:
    """Whether the same read may succeed later."""
    if isinstance(error, ApiError):
        return error.status.code in _PASSING
    return isinstance(error, ConnectionFailed | UnknownOutcome)


class Patience:
    """How long one kind of request has been failing; it may for `seconds` without a success."""

    def __init__(self, clock: Clock, seconds: float, failed: Callable[[BrainctlError], None]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._failed = failed
        self._since: float | None = None
        self._pause = FIRST_PAUSE

    def succeeded(self) -> None:
        """An answer came."""
        self._since = None
        self._pause = FIRST_PAUSE

    async def wait(self, error: BrainctlError) -> None:
        """Pause before the next try; raises `error` when it does not pass, or when patience is over."""
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        if not passes(error) or now - self._since > self._seconds:
            raise error
        self._failed(error)
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def call(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer, after as many tries as it takes."""
        while True:
            try:
                answer = await ask()
            except BrainctlError as error:
                await self.wait(error)
            else:
                self.succeeded()
                return answer
