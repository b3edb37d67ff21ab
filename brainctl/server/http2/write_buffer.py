"""Collect what is to be sent on one HTTP/2 connection, and write it to the socket once per turn of the event loop."""

import asyncio
from collections.abc import Callable
from typing import Final

from brainctl.server.buffers import SMALL_BYTES
from brainctl.server.call_stats import Calls
from brainctl.wire.frames import ErrorCode
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection

WRITE_BYTES: Final = 1 << 20
"""Bytes that may wait for the socket before reading stops and the streams are paused."""


class WriteBuffer:
    """The way from the protocol core of a connection to its socket."""

    def __init__(self, connection: ServerConnection, limits: Limits, calls: Calls, on_cut: Callable[[], None]) -> None:
        """Create a buffer without a socket.

        Args:
            connection: the protocol core, whose bytes are written.
            limits: bounds for the client.
            calls: the counters of the server, and what its connections hold together.
            on_cut: called when the connection is closed because of what it holds.
        """
        self._connection = connection
        self._sender = connection.sender
        self._limits = limits
        self._calls = calls
        self._on_cut = on_cut
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        """None before there is a socket, and once it is lost."""
        self.due = False
        """Whether a call of `flush` is scheduled, or certain to come."""
        self.socket_full = False
        """Whether the socket takes no more."""
        self.full = False
        """Whether too much waits to be sent, for the socket or for the windows of the client."""
        self.ending = False
        """Whether the connection is to be closed once everything is answered."""
        self.waiting_bytes = 0
        """Bytes of requests that wait before they reach the node."""
        self._cut = False
        self._held_back = False
        """Whether nothing is read because requests wait for others to be answered."""
        self._reported = 0
        """Bytes held here, as last reported to the server."""
        self._unflushed = 0
        """Bytes of answers, about, that were made since the last flush."""

    def made(self, size: int) -> None:
        """Note that the core has got answers of `size` bytes, and see to it that they are sent."""
        self._unflushed += size
        if self._unflushed > WRITE_BYTES:
            self._write()
        if not self.due:
            self.flush_soon()

    def flush_soon(self) -> None:
        """Send what there is at the end of this turn of the event loop."""
        if not self.due:
            self.due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what there is, and close the connection if that was the last."""
        self.due = False
        self._write()
        self.report()
        closing = self._connection.core.closed or (self.ending and self._connection.drained)
        if closing and self.transport is not None:
            self.transport.close()

    def report(self) -> None:
        """Report to the server how many bytes are held here, when that has changed."""
        before = self._reported
        if self.measure() != before:
            self._calls.buffers.report(self, self._reported)

    def measure(self) -> int:
        """See `Holder`."""
        held = 0
        if self.transport is not None and not self._cut:
            held = self._connection.held_bytes() + self.waiting_bytes + self.transport.get_write_buffer_size()
        self._reported = held if held > SMALL_BYTES else 0
        return self._reported

    def cut(self) -> None:
        """See `Holder`. The client is sent the reason, unless it does not read."""
        self._reported = 0
        self._cut = True
        self._connection.close(ErrorCode.ENHANCE_YOUR_CALM, "the server holds too much memory for its clients")
        self._on_cut()
        if self.transport is not None:
            if self.transport.get_write_buffer_size() < SMALL_BYTES:
                self.transport.write(self._connection.take())
                self.transport.close()
            else:
                self.transport.abort()

    def hold(self) -> None:
        """Read nothing until `let_go`, since requests wait for others to be answered."""
        self._held_back = self.full = True
        if self.transport is not None:
            self.transport.pause_reading()

    def let_go(self) -> None:
        """Read again, unless the socket is full."""
        self._held_back = False
        self.read()

    def read(self) -> None:
        """Read from the socket, unless it is full or the requests that were read have to wait."""
        if self.transport is not None and not self.socket_full and not self._held_back:
            self.transport.resume_reading()

    def look(self) -> bool:
        """Return whether too much waits to be sent, now."""
        self.full = self.socket_full or self._held_back or self._sender.queued_bytes > self._limits.queue_bytes
        return self.full

    def _write(self) -> None:
        """Pass the bytes of the connection to the socket: it, or the windows of the client, may turn out to be full."""
        self._unflushed = 0
        data = self._connection.take()
        if data and self.transport is not None:
            self._calls.sent_bytes += len(data)
            self.transport.write(data)
        if self._sender.queued_bytes > self._limits.queue_bytes:
            self.full = True
