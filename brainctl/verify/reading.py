"""What a comparison reads from a store."""

from brainctl.errors import ApiError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.leases import lease_ttls
from brainctl.stores.store import Store
from brainctl.verify.diff import Page

PAGE_BYTES = 1 << 20
MAX_PAGE_KEYS = 4_000
FIRST_PAGE_KEYS = 500


class StoreReader:
    """Reads one side, in pages of about a mebibyte."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bytes = 0
        """Marshalled KeyValues read so far."""
        self._page_keys = FIRST_PAGE_KEYS
        self._largest = 2 * MAX_PAGE_KEYS

    async def revision(self) -> int:
        """The store's newest revision."""
        return (await self.store.range(pb.RangeRequest(key=b"\0", count_only=True))).header.revision

    async def page(self, start: bytes, end: bytes, revision: int) -> Page:
        """The keys from `start` to `end` (all that follow when it is empty), or the first of them, as they stood at
        `revision`.
        """
        while True:
            limit = min(self._largest, 2 * MAX_PAGE_KEYS if end else self._page_keys)
            request = pb.RangeRequest(key=start or b"\0", range_end=end or b"\0", revision=revision, limit=limit)
            try:
                return self._page(await self.store.range(request), end)
            except ApiError as error:
                if error.status.code is not Code.RESOURCE_EXHAUSTED or limit == 1:
                    raise
                self._largest = max(1, limit // 4)

    def _page(self, response: pb.RangeResponse, end: bytes) -> Page:
        keys = [kv.key for kv in response.kvs]
        kvs = [kv.SerializeToString() for kv in response.kvs]
        size = sum(map(len, kvs))
        self.bytes += size
        if kvs:
            self._page_keys = max(1, min(len(kvs) * PAGE_BYTES // size, 2 * self._page_keys, MAX_PAGE_KEYS))
        return Page(keys, kvs, keys[-1] + b"\0" if response.more else end)

    async def key(self, key: bytes, revision: int) -> bytes | None:
        """One key's marshalled KeyValue as it stood at `revision`, None when it was not there."""
        response = await self.store.range(pb.RangeRequest(key=key, revision=revision))
        return response.kvs[0].SerializeToString() if response.kvs else None

    async def leases(self) -> dict[int, int]:
        """The granted TTL of each lease, in seconds."""
        ids = [lease.ID for lease in (await self.store.leases()).leases]
        return {lease.id: lease.granted for lease in await lease_ttls(self.store, ids)}
