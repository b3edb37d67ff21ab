"""The server: a listening socket, its connections, and the way it stops."""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, cast

from brainctl.errors import BrainctlError
from brainctl.server.gateway.access import GatewayAccess
from brainctl.server.http1 import Http1Protocol
from brainctl.server.http2.connection import Http2Protocol
from brainctl.server.listen import Listener
from brainctl.server.listen import listen as open_listener
from brainctl.server.node_protocol import Node
from brainctl.server.pages import Monitoring, Pages
from brainctl.server.tls.context import ServerTls
from brainctl.wire.frames import PREFACE
from brainctl.wire.limits import Limits

_TELLING_BYTES: Final = 4
"""Bytes that tell HTTP/2 from HTTP/1.1: no method of the latter is called PRI."""
_TLS_HANDSHAKE = 0x16
"""The first byte of a greeting in TLS."""
_FIRST_BYTES_SECONDS: Final = 20
GRACE_SECONDS: Final = 5.0


class Connection(Protocol):
    """A connection, as the server drives it."""

    def tick(self) -> None:
        """Note that a second has passed."""

    def drain(self) -> None:
        """Answer what was asked, take no more requests, then close."""

    def abort(self) -> None:
        """Close now."""


class Server:
    """Serves one node at one address; `start`, then `stop`."""

    def __init__(self, node: Node, limits: Limits | None = None, access: GatewayAccess | None = None) -> None:
        self.node = node
        self.limits = limits or Limits()
        self.pages = Pages(node, access, self.limits)
        self.room = self.pages.calls.room
        self.connections: set[Connection] = set()
        self._tls: list[ServerTls] = []
        self._listeners: list[Listener] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._stopping = False

    async def start(self, listen: str, tls: ServerTls | None = None, metrics: str = "") -> str:
        """Listen at `listen`, and at `metrics` for metrics and health alone.

        Args:
            listen: "HOST:PORT", "unix://PATH" or a URL of the first, or several with commas between.
            tls: the TLS side, which http:// and unix:// URLs do without.
            metrics: more addresses, written in the same way.

        Returns:
            The addresses of `listen`, with the ports that were taken for 0.

        Raises:
            InvalidInput: An address cannot be read.
            ListenFailed: It cannot be had.
        """
        pages_tls = tls.for_pages() if tls is not None and metrics else None
        self._tls = [each for each in (tls, pages_tls) if each is not None]
        try:
            addresses = [await self._listen(part, tls, None) for part in listen.split(",")]
            for part in filter(None, metrics.split(",")):
                await self._listen(part, pages_tls, Monitoring(self.pages))
        except BrainctlError:
            self._close_listeners()
            raise
        self.room.measure(0)
        self._timer = asyncio.get_running_loop().call_later(1, self._tick)
        return ",".join(addresses)

    async def _listen(self, given: str, tls: ServerTls | None, monitoring: Monitoring | None) -> str:
        used = None if given.startswith(("http://", "unix://")) else tls
        listener = await open_listener(given, lambda: FirstBytes(self, used, monitoring), used)
        self._listeners.append(listener)
        return listener.address

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Take no more connections, end streams with "server stopped", finish the calls in progress, close.

        What is not over after `grace_seconds` is cut off.
        """
        self._stopping = True
        self._close_listeners()
        for connection in tuple(self.connections):
            connection.drain()
        self._check_empty()
        try:
            await asyncio.wait_for(self._empty.wait(), grace_seconds)
        except TimeoutError:
            for connection in tuple(self.connections):
                connection.abort()
        if self._timer is not None:
            self._timer.cancel()

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is lost."""
        self.connections.discard(connection)
        self._check_empty()

    def _check_empty(self) -> None:
        if self._stopping and not self.connections:
            self._empty.set()

    def _tick(self) -> None:
        for connection in tuple(self.connections):
            connection.tick()
        self.room.tick(len(self.connections))
        self.pages.calls.buffers.tick()
        for tls in self._tls:
            tls.refresh()
        self._timer = asyncio.get_running_loop().call_later(1, self._tick)


class FirstBytes(asyncio.Protocol):
    """A connection whose first bytes tell what it speaks."""

    def __init__(self, server: Server, tls: ServerTls | None = None, monitoring: Monitoring | None = None) -> None:
        """Create the protocol of a new connection.

        Args:
            server: the server that it belongs to.
            tls: the TLS side of its listener, None without TLS.
            monitoring: the only pages of a listener that has nothing else, in HTTP/1.1; None for other listeners.
        """
        self._server = server
        self._tls = tls
        self._monitoring = monitoring
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._ticks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        if not self._server.room.admits(len(self._server.connections)):
            self.abort()
            return
        self._server.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None:  # a watcher may be silent for hours, and its machine may be gone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._tls is not None and not self._tls.permits(transport.get_extra_info("peercert")):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Pass the connection on to its protocol, once the first bytes tell which it is."""
        self._buffer += data
        if len(self._buffer) < _TELLING_BYTES and PREFACE.startswith(self._buffer):
            return
        server = self._server
        assert self._transport is not None
        if self._buffer[0] == _TLS_HANDSHAKE:  # a client of https:// would wait for an answer that it understands
            self.abort()
            return
        buffers = server.pages.calls.buffers
        protocol: Http2Protocol | Http1Protocol
        if self._monitoring is not None:
            protocol = Http1Protocol(self._monitoring, server.limits, server.remove, buffers)
        elif self._buffer.startswith(PREFACE[:_TELLING_BYTES]):
            user = self._tls.user(self._transport.get_extra_info("peercert")) if self._tls else None
            protocol = Http2Protocol(server.node, server.pages, server.limits, server.remove, user)
        else:
            protocol = Http1Protocol(server.pages, server.limits, server.remove, buffers)
        server.connections.discard(self)
        server.connections.add(protocol)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection: the client left before it said anything."""
        del exc
        self._server.remove(self)

    def tick(self) -> None:
        """Close a connection that stays silent."""
        self._ticks += 1
        if self._ticks > _FIRST_BYTES_SECONDS:
            self.abort()

    def drain(self) -> None:
        """Close: nothing was asked."""
        self.abort()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()


async def serve(
    node: Node,
    listen: str,
    *,
    metrics: str = "",
    tls: ServerTls | None = None,
    limits: Limits | None = None,
    access: GatewayAccess | None = None,
    grace_seconds: float = GRACE_SECONDS,
    on_ready: Callable[[str], None] | None = None,
    on_stopping: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve `node` until SIGTERM, SIGINT or `stop`, then drain; a second signal cuts the draining short.

    The node is the caller's to close afterwards: nothing uses it any more when this returns.

    Args:
        node: the node.
        listen: the addresses, as in `Server.start`.
        metrics: addresses for metrics and health alone.
        tls: the TLS side, None for plain text.
        limits: the bounds of a connection.
        access: who may use the JSON gateway.
        grace_seconds: how long draining may take before connections are cut off.
        on_ready: called with the addresses once connections are accepted.
        on_stopping: called when draining begins.
        stop: an event that ends the server as a signal does.

    Raises:
        InvalidInput: An address cannot be read; before `on_ready`.
        ListenFailed: An address cannot be had; before `on_ready`.
    """
    server = Server(node, limits, access)
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    address = await server.start(listen, tls, metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, None)
    try:
        if on_ready is not None:
            on_ready(address)
        await _first(signals.get(), (stop or asyncio.Event()).wait())
        if on_stopping is not None:
            on_stopping()
        stopping = asyncio.ensure_future(server.stop(grace_seconds))
        again = asyncio.ensure_future(signals.get())
        await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not stopping.done():
            stopping.cancel()
            await server.stop(0)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of several things has happened."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
