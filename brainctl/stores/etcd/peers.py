"""Calls between the instances of one service, over gRPC, with bytes that are passed on as they are."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio

from brainctl.errors import ApiError, Code, Status, UnknownOutcome
from brainctl.node.forwarding import KEEP_ALIVE
from brainctl.stores.etcd.channel import CLOSED, Connection, is_cancelled
from brainctl.stores.etcd.outcome import is_from_server
from brainctl.stores.etcd.target import EtcdTarget, Tls

KEEPALIVE_SECONDS = 10.0
"""Seconds of silence after which the leader is pinged: more often than every 5 s it would send an instance away."""


class PeerCalls:
    """Calls of other instances, over one connection to each that was called lately."""

    def __init__(self, tls: Tls, max_bytes: int) -> None:
        """Create them.

        Args:
            tls: the certificates for instances that serve TLS.
            max_bytes: of the largest message.
        """
        self._tls = tls
        self._max_bytes = max_bytes
        self._connections: dict[str, Connection] = {}

    async def call(self, url: str, method: str, body: bytes, token: str, seconds: float) -> bytes:
        """See `brainctl.node.forwarding.Peers`."""
        channel = await (self._connections.get(url) or self._connect(url)).dial()
        metadata = (("token", token),)
        try:
            if method == KEEP_ALIVE:
                stream: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(method, _as_is, _as_is)(
                    _once(body), metadata=metadata, timeout=seconds
                )
                async for answer in stream:
                    return answer
                raise UnknownOutcome(f"{url}: no answer came")
            stub: Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]] = channel.unary_unary(method, _as_is, _as_is)
            return await stub(body, metadata=metadata, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            code, details = Code[error.code().name], error.details() or ""
            if is_from_server(code, details):
                raise ApiError(Status(code, details)) from error
            raise UnknownOutcome(f"{url}: no answer came: {details}") from error
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise UnknownOutcome(f"{url}: no answer came: {CLOSED}") from None

    def _connect(self, url: str) -> Connection:
        """Return a new connection, and drop those to instances that lead no more."""
        for old in self._connections.values():
            asyncio.ensure_future(old.drop())  # noqa: RUF006 - nobody waits for a connection that is given up
        target = EtcdTarget(
            (url,),
            self._tls,
            keepalive_time=KEEPALIVE_SECONDS,
            max_send=self._max_bytes,
            max_receive=self._max_bytes,
        )
        connection = Connection(url, target)
        self._connections = {url: connection}
        return connection

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            await connection.drop()


def _as_is(body: bytes) -> bytes:
    """Return a message that is marshalled already."""
    return body


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
