"""A node in this process as a Store: file:// without a server, and tikv://."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from google.protobuf.message import Message

from brainctl.clock import Clock, ManualClock, SystemClock
from brainctl.engine.engine import Engine
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.record_names import CHECKPOINT
from brainctl.node.local.backend import open_local
from brainctl.node.node import Node
from brainctl.node.services.kv.range_stream import range_page
from brainctl.stores.unary import (
    Reply,
    call_compact,
    call_delete_range,
    call_lease_grant,
    call_lease_revoke,
    call_lease_time_to_live,
    call_leases,
    call_put,
    call_range,
    call_status,
    call_txn,
)
from brainctl.stores.unfinished import Admission, Standing, changes, refusal
from brainctl.stores.urls import of_directory

HELD_RESPONSES = 16
"""Number of responses that may wait for the reader of a watch before its stream is paused."""


def open_node(directory: Path, clock: Clock | None = None) -> Node:
    """Create a node over the local engine in a directory, which it locks; call it on the event loop.

    Raises:
        StoreInUse: Another process holds the directory.
        StoreDamaged: The store cannot be read.
        StoreFull: There is no room to open it.
    """
    engine = Engine.open(str(directory))
    return Node(open_local(engine, asyncio.get_running_loop()), clock or SystemClock())


def open_directory(directory: Path, clock: Clock | None = None, admission: Admission | None = None) -> "NodeStore":
    """Open the local engine in a directory as a Store.

    With `admission` a copy that a migration has not finished is not changed: no lease expires in it either.

    Raises:
        StoreInUse: Another process holds the directory.
        StoreDamaged: The store cannot be read.
        StoreFull: There is no room to open it.
        Unfinished: `admission` refuses to read the copy.
    """
    url = of_directory(str(directory))
    engine = Engine.open(str(directory))
    try:
        refused = admission.to_read(engine.record(CHECKPOINT), url) if admission is not None else None
    except BrainctlError:
        engine.close()
        raise
    clock = ManualClock() if refused else clock or SystemClock()
    return NodeStore(Node(open_local(engine, asyncio.get_running_loop()), clock), url, refused)


class NodeStore:
    """Calls a node as a client would call a server; it has all rights, since its process has the data."""

    server: None = None

    range = call_range
    put = call_put
    delete_range = call_delete_range
    txn = call_txn
    compact = call_compact
    lease_grant = call_lease_grant
    lease_revoke = call_lease_revoke
    lease_time_to_live = call_lease_time_to_live
    leases = call_leases
    status = call_status

    def __init__(self, node: Node, url: str, refused: BrainctlError | None = None) -> None:
        """Create the store over a node; `refused`, if given, is raised for every change."""
        self.node = node
        self._refused = refused
        self._url = url
        self._token = node.process_token

    @property
    def url(self) -> str:
        """See `Store.url`."""
        return self._url

    @property
    def in_process(self) -> Self:
        """See `Store.in_process`."""
        return self

    async def call(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        """See `Store.call`."""
        if self._refused is not None and changes(method, request):
            raise self._refused
        answer = Answer()
        self.node.call(method, request.SerializeToString(), answer, self._token)
        return reply.FromString(await answer.wait())

    @property
    def migration(self) -> Standing | None:
        """Return how far the migration into this store is; None when there was none."""
        return Standing.of(self.node.backend.record(CHECKPOINT))

    async def page(self, request: pb.RangeRequest, size: int) -> pb.RangeResponse:
        """Return the answer to a plain range with a limit, bounded by `size` bytes.

        It has fewer keys than the limit when these have more bytes, but at least one; its count is that of the page.
        """
        return pb.RangeResponse.FromString(await range_page(self.node.backend, request, size))

    async def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> AsyncIterator[pb.WatchResponse]:
        """See `Store.watch`.

        A reader that falls behind has HELD_RESPONSES queued, and gets the rest from the history.
        """
        responses: asyncio.Queue[bytes] = asyncio.Queue()

        def receive(body: bytes) -> None:
            responses.put_nowait(body)
            if responses.qsize() >= HELD_RESPONSES:
                session.pause()

        session = self.node.watch(receive, self._token)

        async def feed() -> None:
            async for request in requests:
                session.receive(request.SerializeToString())

        feeder = asyncio.ensure_future(feed())
        try:
            while True:
                body = await responses.get()
                if responses.empty():
                    session.resume()
                yield pb.WatchResponse.FromString(body)
        finally:
            feeder.cancel()
            with suppress(asyncio.CancelledError):
                await feeder
            session.close()

    async def lease_keep_alive(self, lease: int) -> pb.LeaseKeepAliveResponse:
        """See `Store.lease_keep_alive`."""
        if self._refused is not None:
            raise self._refused
        answer = Answer()
        self.node.keep_alive(pb.LeaseKeepAliveRequest(ID=lease).SerializeToString(), answer, self._token)
        return pb.LeaseKeepAliveResponse.FromString(await answer.wait())

    async def snapshot(self) -> AsyncIterator[pb.SnapshotResponse]:
        """See `Store.snapshot`. An unfinished copy has none: in the format of etcd it would look like a whole store."""
        if self._refused is not None:
            raise refusal(self.url, self.migration, "saved")
        async for body in self.node.snapshot(self._token):
            yield pb.SnapshotResponse.FromString(body)

    async def close(self) -> None:
        """See `Store.close`."""
        await self.node.close()


class Answer:
    """A reply of a node that can be awaited."""

    def __init__(self) -> None:
        self._future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def __call__(self, answer: bytes | BrainctlError) -> None:
        """Take the reply; drop it when nobody waits any more."""
        if self._future.done():
            return
        if isinstance(answer, BrainctlError):
            self._future.set_exception(answer)
        else:
            self._future.set_result(answer)

    async def wait(self) -> bytes:
        """Return the marshalled response.

        Raises:
            BrainctlError: The node replied with it.
        """
        return await self._future
