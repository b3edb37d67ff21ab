"""Repeat a call that failed, with growing pauses, for as long as it has."""

import asyncio

from brainctl.errors import ExitCode
from brainctl.tikv.client import limits
from brainctl.tikv.client.traffic import Traffic
from brainctl.tikv.errors import Failure, TikvFailed, TikvUnavailable


class Failures:
    """Make the errors of one client, which name its cluster, and count them."""

    def __init__(self, where: str, traffic: Traffic) -> None:
        self.where = where
        self.traffic = traffic

    def of(self, failure: Failure, sentence: str, raw: str = "", *, late: bool = False) -> TikvFailed:
        """Return the error for a failure with a sentence about it.

        Args:
            failure: what it means.
            sentence: the cause in words.
            raw: the client's own text.
            late: whether the cause is that the time ran out.
        """
        kind = TikvUnavailable if failure is Failure.UNAVAILABLE else TikvFailed
        failed = kind(failure, sentence, self.where, raw)
        if late:
            failed.exit_code = ExitCode.TIMEOUT
        return failed


class Attempts:
    """The attempts of one call, and the time that is left for them."""

    def __init__(self, failures: Failures, seconds: float | None = None) -> None:
        """Start the time of a call.

        Args:
            failures: of the client.
            seconds: how long it is repeated; None for PATIENCE.
        """
        self.failures = failures
        self._time = asyncio.get_running_loop().time
        self._until = self._time() + (limits.PATIENCE if seconds is None else seconds)
        self._pause = limits.FIRST_PAUSE

    @property
    def seconds_left(self) -> float:
        """Return the time that is left, in seconds."""
        return max(0.0, self._until - self._time())

    @property
    def answer_seconds(self) -> float:
        """Return how long to wait for the answer to the next request, in seconds."""
        return max(limits.LEAST_SECONDS, min(limits.ANSWER_SECONDS, self.seconds_left))

    async def pause(self, failed: TikvFailed, least: float = 0.0) -> None:
        """Wait before the next attempt, for `least` seconds at least.

        Raises:
            TikvFailed: `failed`, when no time is left.
        """
        self.at_once(failed)
        await asyncio.sleep(min(self.seconds_left, max(least, self._pause)))
        self._pause = min(self._pause * 2, limits.LONGEST_PAUSE)

    def at_once(self, failed: TikvFailed) -> None:
        """Go on with the next attempt without a pause.

        Raises:
            TikvFailed: `failed`, when no time is left.
        """
        self.failures.traffic.failures[failed.failure] += 1
        if not self.seconds_left:
            raise failed
