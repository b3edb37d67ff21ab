"""A recording from an empty prefix to an empty prefix: clients, watchers, compactions, hashes, and the cleaning up."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from random import Random
from typing import NamedTuple

from brainctl.check.line import Header
from brainctl.client.load import Rate
from brainctl.client.recorder.client import Client, Over, Shared
from brainctl.client.recorder.tape import Tape
from brainctl.client.recorder.watcher import Watcher
from brainctl.client.recorder.workloads import WORKLOADS
from brainctl.clock import Clock
from brainctl.errors import ApiError, BrainctlError, InvalidInput
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

COMPACTIONS = 8
"""Number of compactions in a recording that compacts."""
CATCH_UP_SECONDS = 10.0
"""Seconds that watches may take at the end to deliver what they have not delivered yet."""
ENOUGH = 0.9
"""The share of the operations asked for that must be done."""
WATCH_SHARE = 4
"""Number of watches of a random part for each client, with the workload watch."""


class Wanted(NamedTuple):
    """Options of a recording."""

    prefix: str
    """Nothing outside it is read, written or watched; it ends with a slash."""
    workload: str
    clients: int
    per_second: int
    seconds: float
    compact: bool
    """Compact the store now and then: its whole history, that of others too."""

    @property
    def operations(self) -> float:
        """Return how many operations are to be done."""
        return self.per_second * self.seconds


class Recorded(NamedTuple):
    """Result of a recording."""

    answered: int
    wanted: float
    left_behind: str
    """Reason for which the prefix could not be emptied; empty when it was."""
    stopped: bool
    """Whether it was told to stop before its time was over."""

    @property
    def shortfall(self) -> str:
        """Return how the load was too small; empty when it was not."""
        if self.stopped or self.answered >= ENOUGH * self.wanted:
            return ""
        return f"only {self.answered} of {self.wanted:g} operations were answered: the load is too small for a verdict"


class Recording:
    """One recording of one or more endpoints of the same store."""

    def __init__(
        self,
        stores: Sequence[tuple[str, Store]],
        wanted: Wanted,
        write: Callable[[bytes], object],
        clock: Clock,
        random: Random,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the endpoints with their stores; `write` gets the lines of the history.

        `on_progress` is called before each operation.
        """
        self._stores = stores
        self._wanted = wanted
        self._write = write
        self._clock = clock
        self._random = random
        self._on_progress = on_progress

    async def run(self, stop: asyncio.Event) -> Recorded:
        """Record until the time is over, or `stop` is set.

        Raises:
            InvalidInput: The prefix has keys.
            BrainctlError: The store cannot be reached.
        """
        wanted, first = self._wanted, self._stores[0][1]
        revision = await self._empty_at(first)
        header: Header = {
            "revision": revision,
            "prefix": wanted.prefix,
            "exclusive": False,
            "endpoints": [name for name, _ in self._stores],
            "workload": wanted.workload,
            "wanted": wanted.operations,
        }
        tape = Tape(self._write, header, self._clock)
        rate = Rate(wanted.per_second, wanted.seconds, self._clock)

        def allowed() -> float | None:
            self._on_progress()
            return None if stop.is_set() else rate()

        shared = Shared(tape, wanted.prefix, self._random, allowed)
        shared.first = shared.revision = revision
        whole = [Watcher(shared, place, store) for place, (_, store) in enumerate(self._stores)]
        watching = [
            asyncio.ensure_future(watcher.whole(revision + 1, prev_kv=place % 2 == 0))
            for place, watcher in enumerate(whole)
        ]
        watching += [asyncio.ensure_future(part.parts()) for part in self._parts(shared)]
        left_behind = ""
        try:
            await asyncio.gather(*self._clients(shared), self._compactions(shared))
            if not stop.is_set():
                await self._catch_up(shared, whole)
                await self._hashes(shared)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            left_behind = await asyncio.shield(self._clean_up(shared))
        return Recorded(tape.answered, wanted.operations, left_behind, stop.is_set())

    async def _empty_at(self, store: Store) -> int:
        """Return the store's revision at which the prefix has no key."""
        key, end = self._range()
        found = await store.range(pb.RangeRequest(key=key, range_end=end, limit=1))
        if found.kvs:
            raise InvalidInput(f"the prefix {self._wanted.prefix!r} has keys: check history works in an empty one")
        return found.header.revision

    def _range(self) -> tuple[bytes, bytes]:
        prefix = self._wanted.prefix.encode("latin-1")
        return prefix, prefix[:-1] + b"0"

    def _parts(self, shared: Shared) -> list[Watcher]:
        """Return the watchers of random parts: one for each endpoint, or very many."""
        number = len(self._stores)
        if self._wanted.workload == "watch":
            number = max(number, WATCH_SHARE * self._wanted.clients)
        places = [place % len(self._stores) for place in range(number)]
        return [Watcher(shared, place, self._stores[place][1]) for place in places]

    def _clients(self, shared: Shared) -> list[Coroutine[None, None, None]]:
        work = WORKLOADS[self._wanted.workload]

        async def one(client: Client) -> None:
            with suppress(Over):
                while True:
                    await work(client)

        places = [place % len(self._stores) for place in range(self._wanted.clients)]
        return [one(Client(shared, place, self._stores[place][1])) for place in places]

    async def _compactions(self, shared: Shared) -> None:
        """Compact now and then, at a revision behind the newest one or a little in front of it."""
        if not self._wanted.compact:
            return
        client = Client(shared, 0, self._stores[0][1])
        with suppress(Over):
            for _ in range(COMPACTIONS):
                await asyncio.sleep(self._wanted.seconds / (COMPACTIONS + 1))
                revision = max(1, shared.revision + self._random.randint(-20, 5))
                await client.do({"op": "compact", "revision": revision})

    async def _catch_up(self, shared: Shared, whole: Sequence[Watcher]) -> None:
        """Wait until the watches of the prefix have reached the newest revision, if they do."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                for watcher in whole:
                    await watcher.reach(shared.revision)

    async def _hashes(self, shared: Shared) -> None:
        """Record the hash that each endpoint gives of its data at one revision; those that give none are left out."""
        method = "/etcdserverpb.Maintenance/HashKV"
        for place, (_, store) in enumerate(self._stores):
            with suppress(BrainctlError):
                told = await store.call(method, pb.HashKVRequest(revision=shared.revision), pb.HashKVResponse)
                shared.tape.add(
                    {
                        "op": "hash",
                        "endpoint": place,
                        "at": shared.revision,
                        "compact": told.compact_revision,
                        "hash": told.hash,
                    }
                )

    async def _clean_up(self, shared: Shared) -> str:
        """Revoke the leases and delete the keys; return why that was not possible."""
        key, end = self._range()
        reason = "no endpoint"
        for _, store in self._stores:
            try:
                for lease in sorted(shared.leases):
                    with suppress(ApiError):
                        await store.lease_revoke(pb.LeaseRevokeRequest(ID=lease))
                    shared.leases.discard(lease)
                await store.delete_range(pb.DeleteRangeRequest(key=key, range_end=end))
            except BrainctlError as error:
                reason = str(error)
            else:
                return ""
        return reason
