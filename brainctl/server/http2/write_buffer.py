"""What leaves on one connection of HTTP/2: collected, and written to the socket once per turn of the event loop."""

import asyncio
from typing import Final

from brainctl.server.call_stats import Calls
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection

WRITE_BYTES: Final = 1 << 20
"""What may wait for the socket before reading stops and the streams are paused."""


class WriteBuffer:
    """The way from the core of a connection to its socket."""

    def __init__(self, connection: ServerConnection, limits: Limits, calls: Calls) -> None:
        self._connection = connection
        self._limits = limits
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        """None before there is a socket, and once it is lost."""
        self.due = False
        """`flush` will be called."""
        self.socket_full = False
        self.full = False
        """Too much waits to be sent, for the socket or for the windows of the client."""
        self.ending = False
        """The connection is to be closed once everything is answered."""
        self._unflushed = 0
        """About how many bytes of answers were made since the last flush."""

    def made(self, size: int) -> None:
        """Answers of `size` bytes are with the core."""
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
        closing = self._connection.closed or (self.ending and self._connection.drained)
        if closing and self.transport is not None:
            self.transport.close()

    def look(self) -> bool:
        """Whether too much waits to be sent, now."""
        self.full = self.socket_full or self._connection.queued_bytes > self._limits.queue_bytes
        return self.full

    def _write(self) -> None:
        """Hand to the socket what there is: it, or the windows of the client, may turn out to be full."""
        self._unflushed = 0
        data = self._connection.take()
        if data and self.transport is not None:
            self._calls.sent_bytes += len(data)
            self.transport.write(data)
        if self._connection.queued_bytes > self._limits.queue_bytes:
            self.full = True
