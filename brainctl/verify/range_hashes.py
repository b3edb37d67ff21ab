"""The state hashes of the key ranges of one store: from a store of brainctl by its extension, else from its keys.

`cut` lets a side choose the parts of a range, `follow` has the other side hash the same parts.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from brainctl.errors import ApiError, Code
from brainctl.etcdpb import verification_pb2 as vpb
from brainctl.mvcc.state_hash import Cutter, Follower, Part, leaves_of
from brainctl.stores.store import Store
from brainctl.verify.diff import Page

HASH_RANGE = "/brainctlpb.Verification/HashRange"
CALL_KEYS = 32_768
"""About how many keys a call of `cut` hashes from pages, at most."""


class Leaves(NamedTuple):
    """The leaves of the next keys of one side."""

    keys: list[bytes]
    leaves: list[bytes]
    sizes: list[int]
    """The bytes of each marshalled KeyValue."""
    next: bytes
    """See `Page.next`."""


ReadLeaves = Callable[[bytes, bytes, int], Awaitable[Leaves]]
"""Returns the leaves of the first keys from a start to an end (empty: all that follow), at a revision."""


def leaves_in(page: Page) -> Leaves:
    """Return the leaves of a page."""
    return Leaves(page.keys, leaves_of(page.kvs), list(map(len, page.kvs)), page.next)


class Hashed(NamedTuple):
    """Parts of a range from its start on."""

    parts: list[Part]
    more: bool
    """The range goes on behind the last part."""


class RangeHashes(Protocol):
    """The hashes of one side. An empty `end` means that there is no upper bound."""

    async def cut(self, start: bytes, end: bytes, revision: int, keys: int) -> Hashed:
        """Return the parts of a range, each of about `keys` keys."""

    async def follow(self, start: bytes, cuts: Sequence[Part], revision: int) -> list[Part]:
        """Return the parts that another side has cut, with the hashes of this one."""


class StoreHashes:
    """Hashes that the store itself computes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def cut(self, start: bytes, end: bytes, revision: int, keys: int) -> Hashed:
        """See `RangeHashes.cut`."""
        request = vpb.HashRangeRequest(key=start or b"\0", range_end=end or b"\0", revision=revision, keys=keys)
        return await self._ask(request)

    async def follow(self, start: bytes, cuts: Sequence[Part], revision: int) -> list[Part]:
        """See `RangeHashes.follow`."""
        parts: list[Part] = []
        while len(parts) < len(cuts):
            left = [vpb.RangePart(end=cut.end or b"\0", bytes=cut.size) for cut in cuts[len(parts) :]]
            place = parts[-1].end if parts else start
            request = vpb.HashRangeRequest(key=place or b"\0", range_end=left[-1].end, revision=revision, cuts=left)
            parts += (await self._ask(request)).parts
        return parts

    async def _ask(self, request: vpb.HashRangeRequest) -> Hashed:
        response = await self._store.call(HASH_RANGE, request, vpb.HashRangeResponse)
        parts = [Part(b"" if one.end == b"\0" else one.end, one.keys, one.bytes, one.hash) for one in response.parts]
        return Hashed(parts, response.more)


class PageHashes:
    """Hashes of the keys that are read, page by page, from any side."""

    def __init__(self, read: ReadLeaves) -> None:
        self._read = read

    async def cut(self, start: bytes, end: bytes, revision: int, keys: int) -> Hashed:
        """See `RangeHashes.cut`."""
        cutter = Cutter(end, keys)
        hashed = 0
        async for page in self._pages(start, end, revision):
            cutter.add(page.keys, page.leaves, page.sizes)
            hashed += len(page.keys)
            if hashed >= CALL_KEYS and cutter.parts:
                return Hashed(cutter.parts, more=True)
        cutter.finish()
        return Hashed(cutter.parts, more=False)

    async def follow(self, start: bytes, cuts: Sequence[Part], revision: int) -> list[Part]:
        """See `RangeHashes.follow`."""
        follower = Follower(cuts)
        place = start
        while not follower.complete:
            async for page in self._pages(place, cuts[-1].end, revision):
                follower.add(page.keys, page.leaves, page.sizes)
                if follower.overrun:
                    place = follower.skip()
                    break
            else:
                follower.finish()
        return follower.parts

    async def _pages(self, start: bytes, end: bytes, revision: int) -> AsyncIterator[Leaves]:
        place = start
        while True:
            page = await self._read(place, end, revision)
            yield page
            if page.next == end:
                return
            place = page.next


async def hashes_of(store: Store) -> StoreHashes | None:
    """Return the hashes that a store computes; None when it cannot, as etcd."""
    request = vpb.HashRangeRequest(key=b"\0", range_end=b"\0\0", keys=1)
    try:
        await store.call(HASH_RANGE, request, vpb.HashRangeResponse)
    except ApiError as error:
        if error.status.code is Code.UNIMPLEMENTED:
            return None
        raise
    return StoreHashes(store)
