"""A watch that outlives its connection."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

from brainctl.errors import COMPACTED, ApiError, Code, ConnectionFailed, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

_PAUSE = 0.5
"""Seconds before a lost watch is made again."""


async def resumed(store: Store, create: pb.WatchCreateRequest) -> AsyncGenerator[pb.WatchResponse, None]:
    """The responses with events; each holds whole revisions. When the connection is lost the watch is made again where
    it was; `create` must say where it starts. ApiError, for example COMPACTED when what comes next is gone.
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
    """Create the watch, and keep the stream's sending side open."""
    yield pb.WatchRequest(create_request=create)
    await asyncio.Event().wait()
