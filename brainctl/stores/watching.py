"""The change stream of a whole store, and the oldest revision that it can be read at."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self, cast

from brainctl.errors import COMPACTED, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store


class Watching:
    """One watch over all keys: `async with Watching(store, start) as watching: async for response in watching`.

    With `fragment` a response may be a part of a revision. With `max_receive` a server is called over a connection of
    its own, on which no response has more bytes than that. Leaving the block ends the stream.
    """

    def __init__(self, store: Store, start: int, *, fragment: bool = True, max_receive: int = 0) -> None:
        server = store.server if max_receive else None
        self._own = server.beside(max_receive) if server is not None else None
        responses = (self._own or store).watch(_requests(start, fragment=fragment))
        self._responses = cast("AsyncGenerator[pb.WatchResponse]", responses)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._responses.aclose()
        if self._own is not None:
            await self._own.close()

    def __aiter__(self) -> AsyncIterator[pb.WatchResponse]:
        return self._responses

    @property
    def received(self) -> int | None:
        """Return the bytes that have arrived, an incomplete response included; None when that is not known."""
        return self._own.received if self._own is not None else None


async def _requests(start: int, *, fragment: bool) -> AsyncIterator[pb.WatchRequest]:
    """Yield the request that creates the watch, and keep the stream's sending side open."""
    create = pb.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start, fragment=fragment)
    yield pb.WatchRequest(create_request=create)
    await asyncio.Event().wait()


async def oldest_revision(store: Store) -> int:
    """Return the oldest revision that the source can be read at: its compacted revision, 1 when never compacted.

    The API has no request for it; a watch from revision 1 is refused with the compacted revision.
    """
    try:
        await store.range(pb.RangeRequest(key=b"\0", revision=1, count_only=True))
    except ApiError as error:
        if error.status != COMPACTED:
            raise
    else:
        return 1

    async with Watching(store, start=1) as watching:
        async for response in watching:
            if response.compact_revision:
                return response.compact_revision
    raise ApiError(COMPACTED)
