"""The client of our own, whole."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from brainctl.tikv.client import limits
from brainctl.tikv.client.attempts import Attempts, Failures
from brainctl.tikv.client.background import Background
from brainctl.tikv.client.channels import Channels
from brainctl.tikv.client.garbage import collect
from brainctl.tikv.client.locks import Locks
from brainctl.tikv.client.placement_driver import PlacementDriver
from brainctl.tikv.client.reads import Cluster, Reads
from brainctl.tikv.client.region_calls import RegionCalls
from brainctl.tikv.client.seam import Client, Security
from brainctl.tikv.client.timestamps import Timestamps
from brainctl.tikv.client.traffic import Traffic
from brainctl.tikv.client.transactions import OwnTransaction

Result = TypeVar("Result")
EXPECTED_VALUE = 16 << 10
"""Bytes that a value of a range is expected to have before any was read."""


class OwnClient(Client):
    """See `Client`."""

    commits_in_part = False

    def __init__(self, endpoints: Sequence[str], security: Security) -> None:
        """Create a client with the addresses of the Placement Driver, each "host:port".

        Raises:
            InvalidInput: a file for TLS cannot be read.
        """
        self.where = ",".join(endpoints)
        self.traffic = Traffic(EXPECTED_VALUE)
        self._failures = Failures(self.where, self.traffic)
        self._channels = Channels(security)
        self._driver = PlacementDriver(endpoints, self._channels)
        self._timestamps = Timestamps(self._driver, self._channels)
        calls = RegionCalls(self._driver, self._channels)
        self._cluster = Cluster(calls, Locks(calls, self._timestamps), self._timestamps, self._failures)
        self._background = Background()

    async def timestamp(self) -> int:
        """See `Client`."""
        return await self._counted("timestamp", self._timestamps.get(Attempts(self._failures)))

    async def snapshot(self, timestamp: int) -> Reads:
        """See `Client`."""
        return Reads(self._cluster, timestamp)

    async def begin(self, *, locking: bool = False) -> OwnTransaction:
        """See `Client`."""
        start = await self._counted("begin", self._timestamps.get(Attempts(self._failures)))
        return OwnTransaction(self._cluster, self._channels, self._background, start, locking=locking)

    async def collect(self, timestamp: int) -> None:
        """See `Client`."""
        await self._counted("collect", collect(self._cluster, self._driver, timestamp))

    async def hold_safe_point(self, service: bytes, timestamp: int, seconds: int) -> int:
        """See `Client`."""
        return await self._driver.hold_safe_point(service, timestamp, seconds, Attempts(self._failures))

    async def safe_point(self) -> int:
        """See `Client`."""
        return await self._driver.safe_point(Attempts(self._failures))

    async def close(self) -> None:
        """See `Client`."""
        await self._background.drain(limits.PATIENCE)
        await self._timestamps.close()
        await self._channels.close()

    async def _counted(self, kind: str, call: Awaitable[Result]) -> Result:
        time = asyncio.get_running_loop().time
        begun = time()
        try:
            return await call
        finally:
            self.traffic.took(kind, time() - begun)
