"""Register the instances that serve one store, so that each of them knows all of them and who leads.

An instance writes its record anew every BEAT_SECONDS, with the time of the cluster's clock. It is not part of the
group commits: a record says where somebody can be reached, and fences nobody.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple, Self

import orjson

from brainctl import __version__
from brainctl.errors import StoreInUse
from brainctl.tikv.client import PAUSE, Client
from brainctl.tikv.errors import Failure, TikvFailed
from brainctl.tikv.holder import Holder
from brainctl.tikv.key_codec import Layout, after
from brainctl.tikv.leadership import UNSENT, missing
from brainctl.tikv.process_space import is_dead, process_space
from brainctl.tikv.value_codec import Head

BEAT_SECONDS = 2.0
"""Seconds between two records of a living instance."""
SILENT_MS = 8_000
"""Milliseconds without a record after which an instance of the same name counts as dead."""
FORGET_MS = 60_000
"""Milliseconds without a record after which an instance is a member no more."""
LOOK_SECONDS = 0.2
"""Seconds between two looks at an instance of the same name that may be dead."""
TRIES = 5
"""Attempts to write a record that is not there although its commit was answered as done."""
FORMAT = 1
"""The format of a record; one of another format is not shown."""


def member_id(name: str) -> int:
    """Return the member id of the instance with a name: not 0, and the same after each start."""
    return int.from_bytes(sha256(b"member " + name.encode()).digest()[:8]) or 1


class Instance(NamedTuple):
    """The record of an instance. The names are those of the JSON in the store, without the id, which is in the key."""

    id: int
    name: str
    client_urls: tuple[str, ...]
    peer_urls: tuple[str, ...]
    release: str
    """The version of brainctl that it runs."""
    host: str
    pid: int
    space: str
    """Namespace in which `pid` means something (`process_space`)."""
    beat: int
    """Time at which the record was written, in milliseconds of the cluster's clock."""

    @classmethod
    def here(cls, name: str, peer_urls: Sequence[str]) -> Self:
        """Return the record of this process."""
        host, pid, space = socket.gethostname(), os.getpid(), process_space()
        return cls(member_id(name), name, (), tuple(peer_urls), __version__, host, pid, space, 0)

    def pack(self) -> bytes:
        """Return the JSON form."""
        fields = self._asdict()
        del fields["id"]
        return orjson.dumps({"format": FORMAT, **fields})

    @classmethod
    def unpack(cls, member: int, value: bytes) -> Self | None:
        """Read what `pack` made; None for what this version does not know."""
        try:
            fields = orjson.loads(value)
            if fields.pop("format") != FORMAT:
                return None
            fields |= {key: tuple(fields[key]) for key in ("client_urls", "peer_urls")}
            return cls(id=member, **fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def is_process(self, other: "Instance") -> bool:
        """Return whether two records are of one process."""
        return (self.host, self.pid, self.space) == (other.host, other.pid, other.space)

    def __str__(self) -> str:
        """Return the words for a user."""
        at = f" at {self.client_urls[0]}" if self.client_urls else ""
        return f"{self.name}{at} (process {self.pid} on {self.host})"


class Instances:
    """All instances of a store, as this one knows them."""

    def __init__(self, client: Client, layout: Layout, name: str, peer_urls: Sequence[str]) -> None:
        self._client = client
        self._layout = layout
        self.mine = Instance.here(name, peer_urls)
        self.members: tuple[Instance, ...] = (self.mine,)
        """Those that have registered and live, or did until lately, in the order of their ids."""
        self.holder: Holder | None = None
        """Process that took the lead last, if it left its name."""
        self.epoch = 0
        """The epoch of the lead that `holder` took."""
        self._led_until = float("-inf")
        self.changed = asyncio.Event()
        """Set after each `refresh`; whoever waits for a change clears it."""

    @property
    def leader(self) -> int:
        """Return the member id of the leader, 0 while there is none."""
        return self.holder.member if self.holder is not None and self.has_leader else 0

    @property
    def has_leader(self) -> bool:
        """Return whether somebody holds the lead, as far as this instance has heard."""
        return asyncio.get_running_loop().time() < self._led_until

    def leader_urls(self) -> Sequence[str]:
        """Return where the leader serves clients; empty when it is not known."""
        leader = self.leader
        return next((member.client_urls for member in self.members if member.id == leader), ())

    def heard(self, head: Head, now_ms: int) -> bool:
        """Note what the head of the store says about the lead at a time of the cluster's clock.

        Returns:
            Whether the lead has changed hands, so that `refresh` is due.
        """
        self._led_until = asyncio.get_running_loop().time() + (head.expires - now_ms) / 1000
        return head.epoch != self.epoch

    def announce(self, client_urls: Sequence[str]) -> None:
        """Set the URLs at which clients reach this instance; `beat` tells the others."""
        self.mine = self.mine._replace(client_urls=tuple(client_urls))

    async def refresh(self) -> None:
        """Read who is there and who leads.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        layout = self._layout
        timestamp = await self._client.timestamp()
        now = timestamp >> 18
        snapshot = await self._client.snapshot(timestamp)
        values = await snapshot.get([layout.head, layout.holder])
        found = {self.mine.id: self.mine}
        async for page in snapshot.scan(layout.instances, after(layout.instances)):
            for key, value in page:
                member = Instance.unpack(int.from_bytes(key[len(layout.instances) :]), value)
                if member is not None and now - member.beat < FORGET_MS:
                    found.setdefault(member.id, member)
        head = Head.unpack(values.get(layout.head))
        self.holder = Holder.unpack(values.get(layout.holder, b""))
        self.epoch = head.epoch
        self.heard(head, now)
        self.members = tuple(found[member] for member in sorted(found))
        self.changed.set()

    async def beat(self) -> None:
        """Write the record of this instance.

        Raises:
            TikvFailed: TiKV does not answer, or the record may not be written: the next beat writes it.
        """
        now = await self._client.timestamp() >> 18
        self.mine = self.mine._replace(beat=now)
        await self._write({self._layout.instance(self.mine.id): self.mine.pack()})

    async def forget(self) -> None:
        """Remove the records of instances that are members no more.

        Raises:
            TikvFailed: as in `beat`.
        """
        layout = self._layout
        timestamp = await self._client.timestamp()
        old: dict[bytes, bytes | None] = {}
        async for page in (await self._client.snapshot(timestamp)).scan(layout.instances, after(layout.instances)):
            for key, value in page:
                member = Instance.unpack(int.from_bytes(key[len(layout.instances) :]), value)
                if member is not None and (timestamp >> 18) - member.beat >= FORGET_MS:
                    old[key] = None
        if old:
            await self._write(old)

    async def leave(self) -> None:
        """Remove the record of this instance.

        Raises:
            TikvFailed: as in `beat`.
        """
        await self._write({self._layout.instance(self.mine.id): None})

    async def check_name(self) -> None:
        """Wait until no other living process has the name of this instance; one that was killed is dead soon.

        Raises:
            StoreInUse: it lives, and goes on to write its record.
            TikvFailed: TiKV does not answer.
        """
        key = self._layout.instance(self.mine.id)
        first: Instance | None = None
        while True:
            timestamp = await self._client.timestamp()
            value = (await (await self._client.snapshot(timestamp)).get([key])).get(key)
            found = Instance.unpack(self.mine.id, value) if value is not None else None
            if found is None or found.is_process(self.mine) or is_dead(found.space, found.pid):
                return
            if (timestamp >> 18) - found.beat >= SILENT_MS:
                return
            first = first or found
            if found.beat != first.beat:
                raise StoreInUse(f"{found} serves this store already: give each instance a --name of its own")
            await asyncio.sleep(LOOK_SECONDS)

    async def _write(self, writes: dict[bytes, bytes | None]) -> None:
        """Write records, and read them back: a commit may be answered as done of which nothing was sent.

        Raises:
            TikvFailed: as in `beat`.
        """
        for _ in range(TRIES):
            transaction = await self._client.begin()
            try:
                await transaction.commit(writes)
            finally:
                await transaction.rollback()
            snapshot = await self._client.snapshot(await self._client.timestamp())
            if not missing(writes, await snapshot.get([*writes])):
                return
            await asyncio.sleep(PAUSE)
        raise TikvFailed(Failure.UNAVAILABLE, UNSENT, self._client.where)
