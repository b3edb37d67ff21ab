"""Get timestamps from the oracle of the Placement Driver: one stream, and one request for all that wait meanwhile."""

import asyncio

from brainctl.tikv.client import limits
from brainctl.tikv.client.attempts import Attempts
from brainctl.tikv.client.channels import Channels, NoAnswer, Stream
from brainctl.tikv.client.methods import TIMESTAMPS
from brainctl.tikv.client.placement_driver import SILENT, PlacementDriver
from brainctl.tikv.errors import Failure
from brainctl.tikvpb import pdpb_pb2 as pd

LOGICAL_BITS = 18
"""Low bits of a timestamp that count; the bits above are milliseconds."""


def physical(timestamp: int) -> int:
    """Return the milliseconds of a timestamp."""
    return timestamp >> LOGICAL_BITS


def spread(answer: pd.Timestamp, count: int) -> list[int]:
    """Return the timestamps that an answer gives for a request of `count`: it names the last one."""
    last = (answer.physical << LOGICAL_BITS) + answer.logical
    return [last - (number << answer.suffix_bits) for number in range(count - 1, -1, -1)]


class Timestamps:
    """The oracle of one cluster."""

    def __init__(self, driver: PlacementDriver, channels: Channels) -> None:
        self._driver = driver
        self._channels = channels
        self._waiting: list[asyncio.Future[int]] = []
        self._task: asyncio.Task[None] | None = None
        self._stream: Stream | None = None
        self._leader = ""
        self._refused = False
        """Whether the last attempt was refused or cut, rather than left without an answer."""

    async def get(self, attempts: Attempts) -> int:
        """Return a timestamp that is larger than all that were given before this call.

        Raises:
            TikvUnavailable: none comes in time.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
        try:
            async with asyncio.timeout(max(limits.LEAST_SECONDS, attempts.seconds_left)):
                return await future
        except TimeoutError:
            attempts.failures.traffic.failures[Failure.UNAVAILABLE] += 1
            raise attempts.failures.of(Failure.UNAVAILABLE, SILENT, late=not self._refused) from None

    async def close(self) -> None:
        """End the stream; who waits gets no timestamp."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._drop()

    async def _run(self) -> None:
        """Serve those who wait until nobody does."""
        pause = limits.FIRST_PAUSE
        while self._waiting:
            # A caller that comes after this request was sent needs a later timestamp: it waits for the next request.
            batch = [future for future in self._waiting if not future.done()]
            self._waiting = []
            if not batch:
                return
            try:
                found = await self._ask(len(batch))
            except (NoAnswer, TimeoutError) as error:
                self._refused = isinstance(error, NoAnswer) and not error.late
                self._drop()
                self._waiting = batch + self._waiting
                await asyncio.sleep(pause)
                pause = min(2 * pause, limits.LONGEST_PAUSE)
                continue
            pause, self._refused = limits.FIRST_PAUSE, False
            for future, timestamp in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(timestamp)

    async def _ask(self, count: int) -> list[int]:
        if self._stream is None:
            self._leader = await self._driver.leader(limits.ANSWER_SECONDS)
            self._stream = self._channels.stream(self._leader, TIMESTAMPS)
        request = pd.TsoRequest(header=pd.RequestHeader(cluster_id=self._driver.cluster), count=count)
        try:
            async with asyncio.timeout(limits.ANSWER_SECONDS):
                answer = pd.TsoResponse.FromString(await self._stream.ask(request))
        except TimeoutError:
            self._channels.give_up(self._leader)
            raise
        if answer.header.error.type or answer.count != count:
            raise NoAnswer(answer.header.error.message, sent=True)
        return spread(answer.timestamp, count)

    def _drop(self) -> None:
        """Begin another stream with the next request, to whoever leads then."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None
        self._driver.forget_leader(self._leader)
