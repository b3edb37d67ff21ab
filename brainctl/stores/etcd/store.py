"""A real etcd, or any server of its API, as a Store.

A read goes to another endpoint when one cannot be reached. A write is sent once: when it fails after it was sent, it is
not known whether it happened, and UnknownOutcome says so.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import replace
from typing import Self

import grpc
import grpc.aio
from google.protobuf.message import Message

from brainctl.errors import AUTH_OLD_REVISION, INVALID_AUTH_TOKEN, ApiError, BrainctlError, Code, ConnectionFailed
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.channel import CLOSED, Connection, first_dialed, is_cancelled
from brainctl.stores.etcd.outcome import WRITES, failure
from brainctl.stores.etcd.target import EtcdTarget
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

_Metadata = tuple[tuple[str, str], ...]


class EtcdStore:
    """The API of an etcd cluster over gRPC. Connects when first used; the event loop that uses it must close it."""

    in_process: None = None

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

    def __init__(self, target: EtcdTarget) -> None:
        self.target = target
        self._connections = [Connection(endpoint, target) for endpoint in target.endpoints]
        self._turn = 0
        """The place of the endpoint in use."""
        self._token = target.token
        """The token for calls; "" before authentication, and without a user."""

    @property
    def server(self) -> Self:
        """See `Store.server`."""
        return self

    @property
    def url(self) -> str:
        """See `Store.url`."""
        return "etcd://" + ",".join(endpoint.partition("://")[2] or endpoint for endpoint in self.target.endpoints)

    async def call(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        """See `Store.call`."""
        try:
            return await self._attempt(method, request, reply)
        except ApiError as error:
            if error.status not in (INVALID_AUTH_TOKEN, AUTH_OLD_REVISION) or not self.target.user:
                raise
            self._token = ""  # a restart or a change of users has ended it; the refused call had no effect
            return await self._attempt(method, request, reply)

    async def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> AsyncIterator[pb.WatchResponse]:
        """See `Store.watch`. The server is requested to end the stream when it has lost its leader."""
        method = "/etcdserverpb.Watch/Watch"
        channel, metadata = await self._ready()
        stream: AsyncIterable[pb.WatchResponse] = channel.stream_stream(
            method,
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )(requests, metadata=(*metadata, ("hasleader", "true")))
        async for response in self._responses(method, stream):
            yield response

    async def lease_keep_alive(self, lease: int) -> pb.LeaseKeepAliveResponse:
        """See `Store.lease_keep_alive`."""
        method = "/etcdserverpb.Lease/LeaseKeepAlive"
        channel, metadata = await self._ready()
        stream: AsyncIterable[pb.LeaseKeepAliveResponse] = channel.stream_stream(
            method,
            request_serializer=pb.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=pb.LeaseKeepAliveResponse.FromString,
        )(_once(pb.LeaseKeepAliveRequest(ID=lease)), metadata=metadata, timeout=self.target.command_timeout)
        async for response in self._responses(method, stream, self.target.command_timeout):
            return response
        raise ConnectionFailed(f"{self._endpoint}: the server ended LeaseKeepAlive without an answer")

    async def snapshot(self) -> AsyncIterator[pb.SnapshotResponse]:
        """See `Store.snapshot`. It has no deadline."""
        method = "/etcdserverpb.Maintenance/Snapshot"
        async for response in self._stream(method, pb.SnapshotRequest(), pb.SnapshotResponse.FromString):
            yield response

    async def range_stream(self, request: pb.RangeRequest) -> AsyncIterator[pb.RangeResponse]:
        """Call KV.RangeStream and yield the parts of a range, in order (etcd 3.7 and newer)."""
        method = "/etcdserverpb.KV/RangeStream"
        async for response in self._stream(method, request, pb.RangeStreamResponse.FromString):
            yield response.range_response

    def beside(self, max_receive: int) -> "EtcdStore":
        """Return a store of the same server over a connection of its own.

        On that connection a message has at most `max_receive` bytes, and the bytes that arrive are counted.
        """
        limit = min(max_receive, self.target.max_receive)
        endpoints = (*self.target.endpoints[self._turn :], *self.target.endpoints[: self._turn])
        target = replace(self.target, endpoints=endpoints, token=self._token, max_receive=limit, counted=True)
        return type(self)(target)

    @property
    def received(self) -> int | None:
        """Return the bytes that have arrived over the connection in use; None when that is not known."""
        return self._connections[self._turn].received

    async def close(self) -> None:
        """See `Store.close`."""
        for connection in self._connections:
            await connection.drop()

    @property
    def _endpoint(self) -> str:
        return self._connections[self._turn].endpoint

    async def _attempt(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        """Send a write once; send a read to up to as many endpoints as there are."""
        for _ in range(len(self._connections) - 1):
            try:
                return await self._send(method, request, reply)
            except ConnectionFailed:
                if method in WRITES:
                    raise
                self._turn = (self._turn + 1) % len(self._connections)
        return await self._send(method, request, reply)

    async def _send(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        """Send one unary call with the deadline of the target, and return its response.

        Raises:
            ConnectionFailed: No endpoint can be reached, or the connection of a read was lost.
            UnknownOutcome: The connection of a write was lost after it was sent.
            ApiError: The server answered with an error.
        """
        channel, metadata = await self._ready()
        stub: Callable[..., grpc.aio.UnaryUnaryCall[Message, Reply]] = channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        began, timeout = _now(), self.target.command_timeout
        try:
            return await stub(request, metadata=metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise self._failure(method, error, began, timeout) from error
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise failure(method, self._endpoint, Code.CANCELLED, CLOSED, timeout) from None

    async def _stream(
        self, method: str, request: Message, deserialize: Callable[[bytes], Reply]
    ) -> AsyncIterator[Reply]:
        """Send one request, and yield the responses of a stream without a deadline."""
        channel, metadata = await self._ready()
        stream: AsyncIterable[Reply] = channel.unary_stream(
            method, request_serializer=type(request).SerializeToString, response_deserializer=deserialize
        )(request, metadata=metadata)
        async for response in self._responses(method, stream):
            yield response

    async def _responses(
        self, method: str, stream: AsyncIterable[Reply], limit: float | None = None
    ) -> AsyncIterator[Reply]:
        """Yield the responses of a stream, and translate gRPC's errors into ours."""
        began = _now()
        try:
            async for response in stream:
                yield response
        except grpc.aio.AioRpcError as error:
            raise self._failure(method, error, began, limit) from error
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise failure(method, self._endpoint, Code.CANCELLED, CLOSED, limit) from None

    def _failure(self, method: str, error: grpc.aio.AioRpcError, began: float, limit: float | None) -> BrainctlError:
        """Return the error for a call that failed after `began`."""
        code = Code[error.code().name]
        return failure(method, self._endpoint, code, error.details() or code.name, limit, _now() - began)

    async def _ready(self) -> tuple[grpc.aio.Channel, _Metadata]:
        """Return a connected channel to the first endpoint that can be reached, and the metadata with the token.

        It starts with the endpoint used last.

        Raises:
            ConnectionFailed: No endpoint can be reached; nothing of a call was sent.
        """
        connected = self._connections[self._turn].connected
        if connected is not None:
            return connected, await self._identity(connected)
        count = len(self._connections)
        order = [(self._turn + step) % count for step in range(count)]
        place, channel = await first_dialed([self._connections[place] for place in order])
        self._turn = order[place]
        return channel, await self._identity(channel)

    async def _identity(self, channel: grpc.aio.Channel) -> _Metadata:
        """Return the metadata with the token; obtain the token first if there is a user and none was obtained yet."""
        if not self._token and self.target.user:
            self._token = await self._authenticate(channel)
        return (("token", self._token),) if self._token else ()

    async def _authenticate(self, channel: grpc.aio.Channel) -> str:
        """Call Auth.Authenticate and return the token; "" when authentication is off."""
        method = "/etcdserverpb.Auth/Authenticate"
        request = pb.AuthenticateRequest(name=self.target.user, password=self.target.password)
        stub: Callable[..., grpc.aio.UnaryUnaryCall[Message, pb.AuthenticateResponse]] = channel.unary_unary(
            method,
            request_serializer=pb.AuthenticateRequest.SerializeToString,
            response_deserializer=pb.AuthenticateResponse.FromString,
        )
        began, timeout = _now(), self.target.command_timeout
        try:
            return (await stub(request, timeout=timeout)).token
        except grpc.aio.AioRpcError as error:
            if error.details() == "etcdserver: authentication is not enabled":
                return ""
            raise self._failure(method, error, began, timeout) from error


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _once(request: pb.LeaseKeepAliveRequest) -> AsyncIterator[pb.LeaseKeepAliveRequest]:
    yield request
