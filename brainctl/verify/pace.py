"""A limit for the bytes that a comparison reads in a second."""

import asyncio
from typing import Final

from brainctl.clock import Clock
from brainctl.node.local.token_bucket import Bucket

BURST: Final = 1 << 20
"""The bytes that may be read at once after a pause."""


class Pace:
    """Waits so that a rate is kept."""

    def __init__(self, rate: int, clock: Clock) -> None:
        """Create the limit of `rate` bytes per second; 0 for none."""
        self._clock = clock
        self._bucket = Bucket(rate, BURST, clock.monotonic())

    async def wait(self, size: int) -> None:
        """Wait after `size` bytes were read."""
        seconds = self._bucket.take(size, self._clock.monotonic())
        if seconds:
            await asyncio.sleep(seconds)
