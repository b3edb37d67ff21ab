"""Writes at a steady rate from many clients, and their measured times and errors."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from math import sqrt
from random import Random

from brainctl.clock import Clock
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store


class Figures:
    """The measured figures. Times are in seconds."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        """Number of times that each error occurred, by its text."""
        self.writes = 0
        self.slowest = 0.0
        """The longest time of a write."""
        self.seconds = 0.0
        """The time of the whole run."""
        self.cpu = 0.0
        """Processor time of this process: when it is near `seconds`, this side was the bottleneck."""
        self._sum = 0.0
        self._squares = 0.0

    def add(self, took: float) -> None:
        """Count an acknowledged write that took this many seconds."""
        self.writes += 1
        self.slowest = max(self.slowest, took)
        self._sum += took
        self._squares += took * took

    @property
    def per_second(self) -> float:
        """Return the acknowledged writes per second."""
        return self.writes / self.seconds if self.seconds else 0.0

    @property
    def deviation(self) -> float:
        """Return the standard deviation of the time of a write, in seconds."""
        if not self.writes:
            return 0.0
        mean = self._sum / self.writes
        return sqrt(max(0.0, self._squares / self.writes - mean * mean))


class Load:
    """`clients` tasks that share one connection and put keys with random names."""

    def __init__(self, store: Store, prefix: bytes, key_bytes: int, value_bytes: int, random: Random) -> None:
        self._store = store
        self._prefix = prefix
        self._key_bytes = key_bytes
        self._value = bytes(value_bytes)
        self._random = random

    async def run(self, clients: int, allowed: Callable[[], float | None], clock: Clock) -> Figures:
        """Put until `allowed` returns None; otherwise it returns how many seconds to wait before the next put."""
        figures = Figures()
        started, used = clock.monotonic(), _cpu_seconds()

        async def client() -> None:
            while (pause := allowed()) is not None:
                if pause > 0:
                    await asyncio.sleep(pause)
                await self._put(figures, clock)

        await asyncio.gather(*(client() for _ in range(clients)))
        figures.seconds = clock.monotonic() - started
        figures.cpu = _cpu_seconds() - used
        return figures

    async def _put(self, figures: Figures, clock: Clock) -> None:
        """Put one key, and record its time or its error."""
        key = self._prefix + self._random.randbytes(self._key_bytes)
        sent = clock.monotonic()
        try:
            await self._store.put(pb.PutRequest(key=key, value=self._value))
        except BrainctlError as error:
            figures.errors[str(error)] += 1
        else:
            figures.add(clock.monotonic() - sent)


class Rate:
    """Slots at `per_second`, until `seconds` have passed; a slot that no client took in time is lost."""

    def __init__(self, per_second: int, seconds: float, clock: Clock) -> None:
        self._gap = 1 / per_second
        self._clock = clock
        self._next = clock.monotonic()
        self._end = self._next + seconds

    def __call__(self) -> float | None:
        """Take the next slot: return the seconds until it, None when there is no more."""
        now = self._clock.monotonic()
        slot = max(self._next, now)
        if slot >= self._end:
            return None
        self._next = slot + self._gap
        return slot - now


class Count:
    """A number of slots, all at once."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self) -> float | None:
        """Take the next slot: return 0.0, None when there is no more."""
        if not self._left:
            return None
        self._left -= 1
        return 0.0


def _cpu_seconds() -> float:
    """Return the processor time of this process, in seconds."""
    times = os.times()
    return times.user + times.system
