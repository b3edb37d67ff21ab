"""A watch that is opened again when its connection is lost.

Example: a watch from revision 5 yields the events of revisions 5 to 9, then the connection is lost. Half a second later
a watch from revision 10 is opened; no event is lost or doubled. If revision 10 is compacted meanwhile, it ends with
ApiError(COMPACTED).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

from brainctl.errors import COMPACTED, ApiError, Code, ConnectionFailed, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

_PAUSE = 0.5
"""Seconds before a lost watch is opened again."""


async def resumed(store: Store, create: pb.WatchCreateRequest) -> AsyncGenerator[pb.WatchResponse, None]:
    """Yield the responses with events; each holds whole revisions.

    `create` must have a start_revision; it is moved on with each response.

    Raises:
        ApiError: COMPACTED when the next revision is compacted, or the watch was cancelled for another reason.
    """
    while True:
        try:
            async with aclosing(cast("AsyncGenerator[pb.WatchResponse]", store.watch(_requests(create)))) as responses:
                async for response in responses:
                    if response.compact_revision or response.cancel_reason == COMPACTED.message:
                        raise ApiError(COMPACTED)
                    if response.canceled:
                        raise ApiError(Status(Code.UNKNOWN, response.cancel_reason))
                    if response.events:
                        create.start_revision = response.events[-1].kv.mod_revision + 1
                        yield response
        except ConnectionFailed:
            await asyncio.sleep(_PAUSE)


async def _requests(create: pb.WatchCreateRequest) -> AsyncIterator[pb.WatchRequest]:
    """Yield the request that creates the watch, and keep the stream's sending side open."""
    yield pb.WatchRequest(create_request=create)
    await asyncio.Event().wait()
