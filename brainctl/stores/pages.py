"""Ranges read in pages of bounded size, from any store.

A request limits the number of keys, and their size is not known before. A store of this process reads a page by its
bytes. A server is asked for as many keys as are likely to fill a page; when the following keys are much larger, the
answer is refused by its length before it is read into memory, and requested again with fewer keys.

Example over gRPC, with values of 1 KB at first and of 10 MB later: pages of 8, 32, 128, 512, ~1000 keys (at most
GROWTH times as many as before, about PAGE_BYTES each); then 1000 large values are refused (more than LARGEST_BYTES), so
125, 15 and 1 are requested.
"""

from brainctl.errors import ApiError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.store import Store

PAGE_BYTES = 1 << 20
"""The size in bytes that a page should have."""
LARGEST_BYTES = 16 << 20
"""The largest answer in bytes that is accepted, unless it has a single key."""
FIRST_KEYS = 8
"""The keys of the first page, before anything is known of their size."""
MOST_KEYS = 4_000
"""The most keys of a page, however small they are."""
GROWTH = 4
"""A page has at most this many times the keys of the page before it."""
CUT = 8
"""After an answer that is too large, the number of keys is divided by this."""


class PageSize:
    """The number of keys to request next, by the bytes of those that came. Pure."""

    def __init__(self) -> None:
        self.keys = FIRST_KEYS

    def seen(self, keys: int, size: int) -> None:
        """Note that a page of `keys` keys, at least one, came to `size` bytes."""
        likely = keys * PAGE_BYTES // max(size, 1)
        self.keys = max(1, min(likely, GROWTH * self.keys, MOST_KEYS))

    def too_large(self, keys: int) -> None:
        """Note that the answer for `keys` keys was too large."""
        self.keys = max(1, min(self.keys, keys // CUT))


class Pager:
    """Reads the pages of one store."""

    def __init__(self, store: Store, *, keys_only: bool = False) -> None:
        """Create the pager of a store; `keys_only` leaves the values out, where a server is asked."""
        self._store = store
        self._keys_only = keys_only
        self._bounded: EtcdStore | None = None
        """A connection that refuses answers above LARGEST_BYTES; None before it is needed."""
        self._size = PageSize()

    async def page(self, start: bytes, end: bytes, revision: int, *, whole: bool = False) -> pb.RangeResponse:
        """Return the first keys of a range as it was at a revision; `more` says that others follow.

        Args:
            start: The first key.
            end: The key after the last; empty for all keys that follow.
            revision: The revision to read at; 0 for the newest.
            whole: The range is likely to be one page, so request up to twice as much.

        Raises:
            ApiError: The store refused the request, for example because the revision is compacted.
        """
        request = pb.RangeRequest(key=start or b"\0", range_end=end or b"\0", revision=revision)
        if (local := self._store.in_process) is not None:
            request.limit = MOST_KEYS * (1 + whole)
            return await local.page(request, PAGE_BYTES * (1 + whole))
        request.keys_only = self._keys_only
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
        """Request one key whatever its size, or several over a connection that refuses an answer that is too large."""
        server = self._store.server
        if request.limit == 1 or server is None:
            return await self._store.range(request)
        if self._bounded is None:
            self._bounded = server.beside(LARGEST_BYTES)
        return await self._bounded.range(request)

    async def close(self) -> None:
        """Close the connection that was made for pages; the store stays open."""
        if self._bounded is not None:
            await self._bounded.close()
            self._bounded = None
