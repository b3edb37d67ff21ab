"""Move the safe point of TiKV's garbage collection, behind which TiKV drops replaced values.

TiDB moves it in a cluster that it uses. In any other nobody does, and a store never gives space back; so the process
that writes moves it, some time after each compaction, to a time at which nobody reads any more: reads end before
(`client.LONGEST_READ_SECONDS`), and what other programs have registered with the Placement Driver (backups, change
feeds) holds it back.
"""

import asyncio
import logging
from collections.abc import Iterator

from brainctl.errors import BrainctlError
from brainctl.log import Fact
from brainctl.tikv.client import LONGEST_READ_SECONDS, Client
from brainctl.wire.varint import varint

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

    async def note(self) -> None:
        """Note that garbage was made until now.

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
        allowed = min(wanted, await register(self._client, SERVICE, wanted, FOR_EVER))
        if allowed > 0:
            await self._client.collect(allowed)
        if allowed >= self._garbage:
            self._garbage = 0
        return allowed


async def register(client: Client, service: bytes, timestamp: int, seconds: int) -> int:
    """Register the oldest timestamp that a service needs with the Placement Driver, and return the oldest one of any
    service.

    Args:
        client: of the cluster.
        service: the name of the service.
        timestamp: what is not older than this is kept for it.
        seconds: how long the registration holds.

    Raises:
        TikvUnavailable: the Placement Driver does not answer.
    """
    members = dict(_fields(await client.ask_driver("GetMembers", b"\x0a\x00")))
    cluster, leader = (dict(_fields(_bytes(members.get(number)))) for number in (1, 3))
    header = b"\x08" + varint(int(cluster.get(1, 0)))
    address = _bytes(leader.get(4)).decode().partition("://")[2]
    request = b"\x0a%b%b\x12%b%b\x18%b\x20%b" % (
        *(varint(len(header)), header),
        *(varint(len(service)), service),
        *(varint(seconds), varint(timestamp)),
    )
    answer = dict(_fields(await client.ask_driver("UpdateServiceGCSafePoint", request, address)))
    return int(answer.get(4, 0))


def _bytes(field: int | bytes | None) -> bytes:
    return field if isinstance(field, bytes) else b""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message that has only numbers, strings and messages."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + value]
            at += value
        else:
            yield tag >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
