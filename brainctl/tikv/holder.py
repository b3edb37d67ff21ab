"""Record who holds the lead of a store on TiKV: a note that a take-over writes, so that others can say whom to stop."""

import asyncio
import os
import socket
from typing import NamedTuple, Self

import orjson

from brainctl.tikv.client import Client
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.process_space import is_dead, process_space
from brainctl.tikv.value_codec import Head

LOOK_SECONDS = 0.2
"""Seconds between two looks at a holder that may be dead: a living one commits something every two seconds."""


class Holder(NamedTuple):
    """The process that took the lead last. The names are those of the JSON in the store."""

    role: str
    """The command that it runs: `serve` or `migrate`."""
    host: str
    pid: int
    """Process id on `host`."""
    endpoint: str = ""
    """The address at which a server is reached; empty until it listens."""
    member: int = 0
    """The member id of a server."""
    space: str = ""
    """Namespace in which `pid` means something (`process_space`)."""

    @classmethod
    def here(cls, role: str, endpoint: str = "", member: int = 0) -> Self:
        """Return this process as the holder."""
        return cls(role, socket.gethostname(), os.getpid(), endpoint, member, process_space())

    @property
    def is_dead(self) -> bool:
        """Return whether the process is dead for certain."""
        return is_dead(self.space, self.pid)

    def pack(self) -> bytes:
        """Return the JSON form."""
        return orjson.dumps(self._asdict())

    @classmethod
    def unpack(cls, value: bytes) -> Self | None:
        """Read what `pack` made; None for what this version does not know."""
        try:
            return cls(**orjson.loads(value))
        except (ValueError, TypeError):
            return None

    def __str__(self) -> str:
        """Return the words for a user."""
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"`brainctl {self.role}`{at} (process {self.pid} on {self.host})"


async def living_holder(client: Client, layout: Layout, *roles: str) -> Holder | None:
    """Return who holds the lead and lives, if that is one of these roles; otherwise None.

    A holder that was killed keeps the lead for some seconds: so this waits until it commits, or its lead expires.

    Raises:
        TikvFailed: TiKV does not answer.
    """
    first: Head | None = None
    while True:
        now = await client.timestamp()
        values = await (await client.snapshot(now)).get([layout.head, layout.holder])
        head = Head.unpack(values.get(layout.head))
        holder = Holder.unpack(values.get(layout.holder, b""))
        if holder is None or holder.role not in roles or head.expires <= now >> 18:
            return None
        first = first or head
        if head != first:
            return holder
        await asyncio.sleep(LOOK_SECONDS)
