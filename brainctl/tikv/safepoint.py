"""Move the safe point of TiKV's garbage collection, behind which TiKV drops replaced values.

TiDB moves it in a cluster that it uses. In any other nobody does, and a store never gives space back; so the process
that writes moves it, some time after each compaction, to a time at which nobody reads any more: reads end before
(`client.LONGEST_READ_SECONDS`), and what other programs have registered with the Placement Driver (backups, change
feeds) holds it back.
"""

import asyncio
import logging

from brainctl.errors import BrainctlError
from brainctl.log import Fact
from brainctl.tikv.client import LONGEST_READ_SECONDS, Client

_log = logging.getLogger(__name__)

LIFE_SECONDS = LONGEST_READ_SECONDS + 300.0
"""Seconds for which TiKV keeps what was replaced or removed."""
PAUSE_SECONDS = 300.0
"""Seconds between two checks whether there is something to collect."""
SERVICE = b"gc_worker"
"""The name under which whoever collects garbage registers with the Placement Driver."""
FOR_EVER = (1 << 63) - 1
"""The largest number of seconds for which a service can be registered."""
_TIDB = b"mBootstra\xffpKey\x00\x00\x00\x00\xfb"
"""The beginning of the key under which TiDB remembers that it has set up its data in the cluster."""
_LOGICAL_BITS = 18
"""Low bits of a timestamp that count; the bits above are milliseconds."""


class SafePoint:
    """Moves the safe point of one cluster once there is garbage."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._garbage = 0
        """The timestamp up to which there may be garbage before the safe point has passed it, 0 for none."""

    async def schedule(self) -> None:
        """Record that garbage was made until now, for `run` to move the safe point.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        self._garbage = await self._client.timestamp()

    async def run(self) -> None:
        """Move the safe point every PAUSE_SECONDS while there is garbage, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                if self._garbage:
                    await self.step()
            except BrainctlError as error:
                _log.warning(Fact("advancing the safe point of garbage collection is tried again", error=error))

    async def step(self) -> int:
        """Move the safe point as far as it may go now, and return where it is; 0 where TiDB moves it.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        timestamp = await self._client.timestamp()
        snapshot = await self._client.snapshot(timestamp)
        if await snapshot.keys(_TIDB, _TIDB + b"\xff", 1):
            _log.info(Fact("the safe point of garbage collection is left to TiDB"))
            self._garbage = 0
            return 0
        wanted = timestamp - (int(LIFE_SECONDS * 1000) << _LOGICAL_BITS)
        allowed = min(wanted, await self._client.hold_safe_point(SERVICE, wanted, FOR_EVER))
        if allowed > 0:
            await self._client.collect(allowed)
        if allowed >= self._garbage:
            self._garbage = 0
        return allowed
