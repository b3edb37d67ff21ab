"""A writer that changes keys of a store at a steady rate, and remembers which changes were acknowledged."""

import asyncio
from random import Random

from brainctl.clock import Clock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

PREFIX = b"/demo/live/"
"""The prefix of the keys that change."""
BASE = b"/demo/base/"
"""The prefix of the keys that are written once, by `load`."""
KEYS = 500
"""The number of keys that change."""
VALUE_BYTES = 256
LEASE_SECONDS = 600


async def load(store: Store, keys: int, random: Random) -> None:
    """Write `keys` keys, a hundred in a transaction."""
    for first in range(0, keys, 100):
        names = [b"%b%06d" % (BASE, n) for n in range(first, min(first + 100, keys))]
        await store.txn(pb.TxnRequest(success=[_put(name, random) for name in names]))


class LiveWriter:
    """Puts, deletes, transactions and leases, one after the other."""

    def __init__(self, store: Store, random: Random, clock: Clock, per_second: float) -> None:
        self.changes = 0
        """The number of acknowledged changes."""
        self._store = store
        self._random = random
        self._clock = clock
        self._seconds = 1 / per_second
        self._revisions: dict[bytes, int] = {}
        """The acknowledged mod_revision of each key."""
        self._open = asyncio.Event()
        self._idle = asyncio.Event()
        self._open.set()
        self._idle.set()

    async def run(self) -> None:
        """Write until cancelled."""
        due = self._clock.monotonic()
        while True:
            await self._open.wait()
            self._idle.clear()
            try:
                await self._change()
            finally:
                self._idle.set()
            now = self._clock.monotonic()
            due = max(due + self._seconds, now - 10 * self._seconds)
            await asyncio.sleep(max(0.0, due - now))

    async def pause(self) -> None:
        """Stop writing, and return when the last write is acknowledged."""
        self._open.clear()
        await self._idle.wait()

    def resume(self, store: Store) -> None:
        """Resume writing, to `store`."""
        self._store = store
        self._open.set()

    async def lost(self, store: Store) -> list[bytes]:
        """Return the keys that are not in `store` as they were acknowledged; call it while paused."""
        found = await store.range(pb.RangeRequest(key=PREFIX, range_end=PREFIX[:-1] + b"0", keys_only=True))
        revisions = {kv.key: kv.mod_revision for kv in found.kvs}
        return [key for key in self._revisions | revisions if self._revisions.get(key) != revisions.get(key)]

    async def _change(self) -> None:
        """Make one random change: of ten, about one delete, one transaction of three puts, one put with a lease, and
        seven puts.
        """
        keys = [b"%b%04d" % (PREFIX, n) for n in self._random.sample(range(KEYS), 3)]
        match self._random.randrange(10):
            case 0:
                await self._delete(keys[0])
            case 1:
                answer = await self._store.txn(pb.TxnRequest(success=[_put(key, self._random) for key in keys]))
                self._revisions |= dict.fromkeys(keys, answer.header.revision)
            case 2:
                lease = await self._store.lease_grant(pb.LeaseGrantRequest(TTL=LEASE_SECONDS))
                await self._put(keys[0], lease.ID)
            case _:
                await self._put(keys[0], 0)
        self.changes += 1

    async def _put(self, key: bytes, lease: int) -> None:
        request = pb.PutRequest(key=key, value=self._random.randbytes(VALUE_BYTES), lease=lease)
        self._revisions[key] = (await self._store.put(request)).header.revision

    async def _delete(self, key: bytes) -> None:
        await self._store.delete_range(pb.DeleteRangeRequest(key=key))
        self._revisions.pop(key, None)


def _put(key: bytes, random: Random) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=random.randbytes(VALUE_BYTES)))
