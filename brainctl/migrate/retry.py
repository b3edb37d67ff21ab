"""Patience with a store that does not answer: requests are repeated for as long as --retry-for allows, and it is
reported.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from brainctl.clock import Clock
from brainctl.errors import BrainctlError, ConnectionFailed, TimedOut

Answer = TypeVar("Answer")

FIRST_PAUSE = 0.05
"""Seconds before the first repetition of a request; each further pause is twice as long."""
LONGEST_PAUSE = 5.0
"""The longest pause between two repetitions, in seconds."""
SAY_SECONDS = 1.0
"""The least number of seconds between two reports of a wait."""
SILENT_SECONDS = 3.0
"""A request without an answer is reported after this number of seconds, and then again each time it passes."""
LEAST_SECONDS = 30.0
"""Seconds that each request gets, also where --retry-for is over sooner: opening a store takes several (the client of
TiKV is loaded, and repeats for eight seconds by itself), and then tells why it cannot be reached.
"""
HURRIED_SECONDS = 10.0
"""Seconds for which a request may still go without an answer when the process is about to end."""


class Waiting(NamedTuple):
    """The store that a migration waits for. The names are those of the JSON output."""

    side: str
    """`source`, `target`, or both."""
    store: str
    """The URL of the store."""
    away_seconds: float
    """Seconds for which the store has not answered."""
    left_seconds: float
    """Seconds for which the migration will still wait."""
    error: str

    def __str__(self) -> str:
        """Return the sentence for a user."""
        return (
            f"waiting for the {self.side} {self.store}, which has been away for {self.away_seconds:.0f} s; "
            f"{self.left_seconds:.0f} s left (--retry-for): {self.error}"
        )


class Away(ConnectionFailed):
    """A store did not come back within --retry-for."""

    passing = False


class Side:
    """One of the two stores of a migration; it is waited for until `seconds` have passed without a success."""

    def __init__(self, name: str, store: str, clock: Clock, seconds: float, say: Callable[[Waiting], None]) -> None:
        self.retries = 0
        self._name = name
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._say = say
        self._said = float("-inf")
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Stop waiting: the process is about to end."""
        self._hurried.set()

    def patience(self) -> "RetryPolicy":
        """Return a new policy for one kind of request."""
        return RetryPolicy(self)

    async def call(
        self, ask: Callable[[], Awaitable[Answer]], *also: type[BrainctlError], long: bool = False
    ) -> Answer:
        """Return the answer, repeating the request while the store does not answer.

        Args:
            ask: Sends the request.
            also: Types of errors that are waited out as well.
            long: The request may take long: going without an answer does not count as a failure.

        Raises:
            Away: The store has not answered for too long.
            BrainctlError: The request failed with an error that does not pass.
        """
        return await self.patience().call(ask, *also, long=long)

    @property
    def now(self) -> float:
        """Return the seconds of the migration's monotonic clock."""
        return self._clock.monotonic()

    def failed(self, error: str, since: float) -> float:
        """Report that the store has not answered since `since`; return for how many seconds to wait, 0 to give up."""
        away = self.now - since
        left = 0.0 if self._hurried.is_set() else max(0.0, self._seconds - away)
        if left and self.now - self._said >= SAY_SECONDS:
            self._said = self.now
            self._say(Waiting(self._name, self._store, round(away, 1), round(left, 1), error))
        return left

    def away(self, error: BrainctlError, since: float) -> BrainctlError:
        """Return the error to raise for a store that is not waited for any longer."""
        if self._seconds <= 0 or self._hurried.is_set():
            return error
        away = Away(f"the {self._name} {self._store} has been away for {self.now - since:.0f} s (--retry-for): {error}")
        away.exit_code = error.exit_code
        return away

    async def pause(self, seconds: float) -> None:
        """Wait for some seconds, less if the process is about to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    async def outlast(self, request: Awaitable[Answer], since: float, error: str) -> Answer:
        """Return the answer of a request that has no deadline of its own, and report while there is none.

        Raises:
            Away: The store has not answered since `since` for too long; the text has `error`, its last error.
        """
        task = asyncio.ensure_future(request)
        limit = max(since + self._seconds, self.now + LEAST_SECONDS)
        try:
            while not (await asyncio.wait({task}, timeout=SILENT_SECONDS))[0]:
                self.failed(error, since)
                if self._hurried.is_set():
                    limit = min(limit, self.now + HURRIED_SECONDS)
                if self.now >= limit:
                    raise self.away(TimedOut(error), since)
            return await task
        finally:
            task.cancel()


class Sides(NamedTuple):
    """The patience with both stores, and with what needs both at once."""

    source: Side
    target: Side
    both: Side

    @classmethod
    def of(cls, source: str, target: str, clock: Clock, seconds: float, say: Callable[[Waiting], None]) -> "Sides":
        """Return the patience with the stores at these URLs."""
        return cls(
            Side("source", source, clock, seconds, say),
            Side("target", target, clock, seconds, say),
            Side("source or the target", f"{source}, {target}", clock, seconds, say),
        )

    @property
    def retries(self) -> int:
        """Return how many requests were repeated."""
        return sum(side.retries for side in self)

    def hurry(self) -> None:
        """Stop waiting: the process is about to end."""
        for side in self:
            side.hurry()


class RetryPolicy:
    """The memory of how long one kind of request to one side has been failing."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._since: float | None = None
        self._error = "it gives no answer"
        self._pause = FIRST_PAUSE

    def succeeded(self) -> None:
        """Record that the store answered: the patience with it begins anew."""
        self._since = None
        self._pause = FIRST_PAUSE

    async def wait(self, error: BrainctlError, *also: type[BrainctlError], began: float | None = None) -> None:
        """Pause before the next attempt of a request that began at `began` and failed with `error`.

        Raises:
            BrainctlError: `error` itself, when it does not pass.
            Away: The store has not answered for too long.
        """
        if not error.passing and not isinstance(error, also):
            raise error
        if self._since is None:
            self._since = self._side.now if began is None else began
        self._error = str(error)
        left = self._side.failed(self._error, self._since)
        if left <= 0:
            raise self._side.away(error, self._since) from error
        self._side.retries += 1
        await self._side.pause(min(self._pause, left))
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def call(
        self, ask: Callable[[], Awaitable[Answer]], *also: type[BrainctlError], long: bool = False
    ) -> Answer:
        """Return the answer, repeating the request while the store does not answer; see `Side.call`."""
        while True:
            began = self._side.now
            since = began if self._since is None else self._since
            try:
                answer = await (ask() if long else self._side.outlast(ask(), since, self._error))
            except BrainctlError as error:
                await self.wait(error, *also, began=None if long else began)
            else:
                self.succeeded()
                return answer
