"""Ranges read in pages of bounded size, from any store.

A request says how many keys it wants, and nobody knows how large they are. A store of this process reads a page by its
bytes. A server is asked for as many keys as are likely to fill a page; where the keys that follow are much larger, the
answer is refused by its length before it is taken into memory, and asked for again with fewer keys.
"""

from brainctl.errors import ApiError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.in_process import NodeStore
from brainctl.stores.store import Store

PAGE_BYTES = 1 << 20
"""How large a page is meant to be."""
LARGEST_BYTES = 16 << 20
"""The largest answer that is taken, but for one that has a single key."""
FIRST_KEYS = 8
MOST_KEYS = 4_000
GROWTH = 4
"""A page has so many times the keys of the one before it at most."""
CUT = 8
"""By this an answer that is too large is made smaller."""


class PageSize:
    """How many keys to ask for next, by the bytes of those that came. Pure."""

    def __init__(self) -> None:
        self.keys = FIRST_KEYS

    def seen(self, keys: int, size: int) -> None:
        """Note that a page of `keys` keys, one at least, came to `size` bytes."""
        likely = keys * PAGE_BYTES // max(size, 1)
        self.keys = max(1, min(likely, GROWTH * self.keys, MOST_KEYS))

    def too_large(self, keys: int) -> None:
        """Note that so many keys were too many."""
        self.keys = max(1, min(self.keys, keys // CUT))


class Pager:
    """Reads the pages of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bounded: EtcdStore | None = None
        self._size = PageSize()

    async def page(self, start: bytes, end: bytes, revision: int, *, whole: bool = False) -> pb.RangeResponse:
        """Return the first keys from `start` to `end` (all that follow when it is empty) as they stood at `revision`,
        0 for the newest; `more` says that there are others.

        With `whole` the range is likely to be one page, so that up to twice as much is asked for. ApiError.
        """
        request = pb.RangeRequest(key=start or b"\0", range_end=end or b"\0", revision=revision)
        if isinstance(self._store, NodeStore):
            request.limit = MOST_KEYS * (1 + whole)
            return await self._store.page(request, PAGE_BYTES * (1 + whole))
        while True:
            request.limit = self._size.keys * (1 + whole)
            try:
                response = await self._ask(request)
            except ApiError as error:
                if error.status.code is not Code.RESOURCE_EXHAUSTED or request.limit == 1:
                    raise
                self._size.too_large(request.limit)
            else:
                if response.kvs:
                    self._size.seen(len(response.kvs), response.ByteSize())
                return response

    async def _ask(self, request: pb.RangeRequest) -> pb.RangeResponse:
        """Ask for one key whatever its size, for several over a connection that takes no answer that is too large."""
        if request.limit == 1 or not isinstance(self._store, EtcdStore):
            return await self._store.range(request)
        if self._bounded is None:
            self._bounded = self._store.beside(LARGEST_BYTES)
        return await self._bounded.range(request)

    async def close(self) -> None:
        """Close the connection that was made for pages; the store stays open."""
        if self._bounded is not None:
            await self._bounded.close()
            self._bounded = None
