"""The reads of a comparison from one store."""

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.auth import AuthReader
from brainctl.stores.leases import lease_ttls
from brainctl.stores.pages import Pager
from brainctl.stores.store import Store
from brainctl.verify.diff import Page
from brainctl.verify.range_hashes import Leaves, StoreHashes, hashes_of, leaves_in
from brainctl.verify.side import SideKind


class StoreReader:
    """Reads one side, in pages of bounded size."""

    def __init__(self, store: Store, *, stands: bool = False, counts_fast: bool = True) -> None:
        self.store = store
        self.counts_fast = counts_fast
        """Whether the store counts its keys without reading them."""
        self.kind = SideKind(stands=stands)
        self.read_bytes = 0
        """The bytes of the marshalled KeyValues read so far."""
        self._pager = Pager(store)

    async def revision(self) -> int:
        """Return the store's newest revision."""
        return (await self.store.range(pb.RangeRequest(key=b"\0", count_only=True))).header.revision

    async def page(self, start: bytes, end: bytes, revision: int) -> Page:
        """Return the keys from `start` to `end` as they were at `revision`, or the first of them.

        An empty `end` means all keys that follow.
        """
        response = await self._pager.page(start, end, revision, whole=bool(end))
        keys = [kv.key for kv in response.kvs]
        kvs = [kv.SerializeToString() for kv in response.kvs]
        self.read_bytes += sum(map(len, kvs))
        return Page(keys, kvs, keys[-1] + b"\0" if response.more else end)

    async def hashes(self) -> StoreHashes | None:
        """Return the state hashes that the store computes; None when it computes none."""
        return await hashes_of(self.store)

    async def leaves(self, start: bytes, end: bytes, revision: int) -> Leaves:
        """Return the leaves of the keys from `start` to `end`, or of the first of them."""
        return leaves_in(await self.page(start, end, revision))

    def accounts(self) -> AuthReader:
        """Return what reads the users and roles."""
        return AuthReader(self.store)

    async def close(self) -> None:
        """Close what was opened for pages; the store stays open."""
        await self._pager.close()

    async def key(self, key: bytes, revision: int) -> bytes | None:
        """Return one key's marshalled KeyValue as it was at `revision`; None when it did not exist."""
        response = await self.store.range(pb.RangeRequest(key=key, revision=revision))
        return response.kvs[0].SerializeToString() if response.kvs else None

    async def leases(self) -> dict[int, int]:
        """Return the granted TTL of each lease, in seconds, by id."""
        ids = [lease.ID for lease in (await self.store.leases()).leases]
        return {lease.id: lease.granted for lease in await lease_ttls(self.store, ids)}
