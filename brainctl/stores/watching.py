"""The change stream of a whole store, and how far back it reaches."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self, cast

from brainctl.errors import COMPACTED, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store


class Watching:
    """One watch over all keys: `async with Watching(store, start) as watching: async for response in watching`.

    Responses may be fragments of a revision. Leaving the block lets go of the stream.
    """

    def __init__(self, store: Store, start: int) -> None:
        self._responses = cast("AsyncGenerator[pb.WatchResponse]", store.watch(_requests(start)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._responses.aclose()

    def __aiter__(self) -> AsyncIterator[pb.WatchResponse]:
        return self._responses


async def _requests(start: int) -> AsyncIterator[pb.WatchRequest]:
    """Create the watch, and keep the stream's sending side open."""
    create = pb.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start, fragment=True)
    yield pb.WatchRequest(create_request=create)
    await asyncio.Event().wait()


async def oldest_revision(store: Store) -> int:
    """The oldest revision that the source can be read at: its compacted revision, 1 when never compacted.

    The API has no question for it; a watch from revision 1 is refused with the answer.
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
