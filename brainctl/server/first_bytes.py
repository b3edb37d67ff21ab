"""The beginning of a connection: the TLS handshake, then the first bytes, which tell what it speaks."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from brainctl.log import Fact
from brainctl.server.connections import Connection, Connections
from brainctl.server.http1 import Http1Protocol
from brainctl.server.http2.connection import Http2Protocol
from brainctl.server.http_handlers import HttpHandlers, Monitoring
from brainctl.server.node_protocol import Node
from brainctl.server.tls.context import HANDSHAKE_SECONDS, ServerTls
from brainctl.wire.frames import PREFACE
from brainctl.wire.limits import Limits

_log = logging.getLogger(__name__)

_TELLING_BYTES: Final = 4
"""Bytes that tell HTTP/2 from HTTP/1.1: no method of the latter is called PRI."""
_TLS_HANDSHAKE = 0x16
"""The first byte of a greeting in TLS."""
_FIRST_BYTES_SECONDS: Final = 20


class Served(NamedTuple):
    """Services of a listener for its connections."""

    node: Node
    handlers: HttpHandlers
    limits: Limits
    connections: Connections
    on_lost: Callable[[Connection], None]
    tls: ServerTls | None
    """The TLS side, None without TLS."""
    monitoring: Monitoring | None
    """The only handlers of a listener that serves nothing else, in HTTP/1.1; None for other listeners."""

    def accept(self) -> asyncio.Protocol:
        """Return the protocol of a connection that has just come."""
        return FirstBytes(self) if self.tls is None else Handshake(self, self.tls)


class Handshake(asyncio.Protocol):
    """A connection whose TLS handshake is not finished.

    The event loops tell nobody that a handshake failed which a listener of theirs began, so the connection is taken
    from the transport that accepted it, before anything was read, and the handshake is a task of its own.
    """

    def __init__(self, served: Served, tls: ServerTls) -> None:
        """Create the protocol of a new connection to a listener with TLS."""
        self._served = served
        self._tls = tls
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, if there is room for the connection."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        if self._served.connections.admit(self):
            try:
                descriptor = os.dup(transport.get_extra_info("socket").fileno())
            except OSError:  # no descriptor is left
                self._served.on_lost(self)
            else:
                self._task = asyncio.ensure_future(self._shake(socket.socket(fileno=descriptor)))
        transport.abort()

    async def _shake(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: FirstBytes(self._served, self),
                sock,
                ssl=self._tls.context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except OSError as error:
            _log.debug(Fact("a TLS handshake failed", error=str(error)))
        finally:
            self._served.on_lost(self)  # without effect when FirstBytes has replaced it

    def tick(self) -> None:
        """Do nothing: the handshake has its own limit of time."""

    def drain(self) -> None:
        """Close: nothing was asked."""
        self.abort()

    def abort(self) -> None:
        """Close now."""
        if self._task is not None:
            self._task.cancel()


class FirstBytes(asyncio.Protocol):
    """A connection whose first bytes tell what it speaks."""

    def __init__(self, served: Served, handshake: Handshake | None = None) -> None:
        """Create the protocol of a new connection.

        Args:
            served: what the client gets.
            handshake: the same connection in its handshake, which this replaces; None without TLS.
        """
        self._served = served
        self._handshake = handshake
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._ticks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        served = self._served
        connections = served.connections
        shaken = self._handshake
        if not (connections.replace(shaken, self, waits=True) if shaken is not None else connections.admit(self)):
            self.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None:  # a watcher may be silent for hours, and its machine may be gone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if served.tls is not None and not served.tls.permits(transport.get_extra_info("peercert")):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Pass the connection on to its protocol, once the first bytes tell which it is."""
        self._buffer += data
        if len(self._buffer) < len(PREFACE) and PREFACE.startswith(self._buffer):
            return
        served = self._served
        assert self._transport is not None
        if self._buffer[0] == _TLS_HANDSHAKE:  # a client of https:// would wait for an answer that it understands
            self.abort()
            return
        buffers = served.handlers.calls.buffers
        protocol: Http2Protocol | Http1Protocol
        is_http2 = served.monitoring is None and self._buffer.startswith(PREFACE[:_TELLING_BYTES])
        if is_http2:
            user = served.tls.user(self._transport.get_extra_info("peercert")) if served.tls else None
            protocol = Http2Protocol(served.node, served.handlers, served.limits, served.on_lost, user)
        else:
            handlers = served.monitoring or served.handlers
            protocol = Http1Protocol(handlers, served.limits, served.on_lost, served.connections.waits, buffers)
        if not served.connections.replace(self, protocol, waits=not is_http2):
            self.abort()
            return
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection: the client left before it said anything."""
        del exc
        self._served.on_lost(self)

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
