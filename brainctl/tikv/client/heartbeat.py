"""Keep the locks of a transaction from running out while its process lives."""

import asyncio

from brainctl.tikv.client import limits
from brainctl.tikv.client.attempts import Attempts, Failures
from brainctl.tikv.client.methods import HEARTBEAT
from brainctl.tikv.client.region_calls import RegionCalls
from brainctl.tikv.errors import TikvFailed
from brainctl.tikvpb import kvrpcpb_pb2 as kv


class Heartbeat:
    """Renews the locks of one transaction every HEARTBEAT_SECONDS: that of the primary, which decides over all."""

    def __init__(self, calls: RegionCalls, failures: Failures, start: int) -> None:
        """Create the heartbeat of the transaction with this start timestamp, which was taken just now."""
        self._calls = calls
        self._failures = failures
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.primary = b""

    @property
    def ttl(self) -> int:
        """Return the milliseconds after the start of the transaction when a lock that is made now runs out."""
        return int((self._loop.time() - self._begun) * 1000) + limits.LOCK_TTL_MS

    def start(self) -> None:
        """Renew from now on; does nothing when that is being done."""
        if self._timer is None:
            self._timer = self._loop.call_later(limits.HEARTBEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """Let the locks run out."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _beat(self) -> None:
        self._task = asyncio.ensure_future(self._renew())

    async def _renew(self) -> None:
        """Renew until the locks are gone, or no server answers."""
        while True:
            request = kv.TxnHeartBeatRequest(
                primary_lock=self.primary, start_version=self._start, advise_lock_ttl=self.ttl
            )
            try:
                answer = await self._calls.at_key(self.primary, HEARTBEAT, request, Attempts(self._failures))
            except TikvFailed:
                return
            if answer.HasField("error"):
                return
            await asyncio.sleep(limits.HEARTBEAT_SECONDS)
