"""Call gRPC methods over one HTTP/2 connection, for load and for tests against the server role."""

from typing import Final

import hpack

from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.grpc import DATA_HEADER, PREFIX_BYTES
from brainctl.wire.headers import TABLE_BYTES
from brainctl.wire.limits import Limits
from brainctl.wire.response_reader import ResponseReader
from brainctl.wire.stream import calling

LIMITS: Final = Limits(message_bytes=1 << 28, window_bytes=1 << 28, partial_bytes=1 << 32, resets=1 << 32)
"""Bounds for a server, which the client has chosen: what it asks for may be large."""


class ClientConnection:
    """Calls to one server. Every call ends with one Ended event, unless Closed ends all of them or `reset` this one."""

    def __init__(self, authority: str, *, scheme: str = "http", limits: Limits = LIMITS) -> None:
        """Create a connection, which has preface and SETTINGS to send.

        Args:
            authority: HOST[:PORT] of the server.
            scheme: http or https.
            limits: bounds for what the server sends.
        """
        self.core = Connection(limits, calling)
        """The part that both roles have."""
        self.sender = self.core.sender
        self._streams = self.core.streams
        self.receive, self.take = self.core.receive, self.sender.take
        self.is_open, self.paused = self.core.is_open, self.core.paused
        self.reset, self.close = self.core.reset, self.core.close
        self._fields = [
            (":method", "POST"),
            (":scheme", scheme),
            (":authority", authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "brainctl"),
        ]
        self._encoder = hpack.Encoder()
        self._blocks: dict[str, bytes] = {}
        self._streams_max = frames.STREAM_MASK
        self.core.out.append(frames.PREFACE)
        self.core.begin(
            ResponseReader(self.core, self._on_setting),
            {
                frames.ENABLE_PUSH: 0,
                frames.INITIAL_WINDOW_SIZE: self.core.receive_window,
                frames.MAX_HEADER_LIST_SIZE: limits.header_list_bytes,
            },
        )

    @property
    def closed(self) -> bool:
        """Return whether the connection has ended, so that input is ignored."""
        return self.core.closed

    @property
    def open_streams(self) -> int:
        """Return the number of streams that have not ended."""
        return len(self._streams.open)

    @property
    def queued_bytes(self) -> int:
        """Return the bytes that wait for the server's flow control, over all streams."""
        return self.sender.queued_bytes

    @property
    def room(self) -> int:
        """Return how many more calls the server takes at once."""
        return self._streams_max - len(self._streams.open)

    # -- calls out ----------------------------------------------------------------------------------------------------

    def request(self, path: str, body: bytes) -> int:
        """Make a unary call, and return its stream. The response comes with the Ended event."""
        stream_id = self._next_stream(path)
        size = len(body) + PREFIX_BYTES
        sender = self.sender
        if size > sender.window or size > self._streams.initial_window or size > sender.frame_bytes:
            stream = self._streams.stateful(stream_id)
            stream.closing = None
            sender.data(stream_id, stream, len(body).to_bytes(PREFIX_BYTES), body)
            sender.end(stream_id, stream, b"")
        else:
            sender.window -= size
            self.core.out += (DATA_HEADER.pack(size << 8, frames.END_STREAM, stream_id, 0, len(body)), body)
        return stream_id

    def open(self, path: str) -> int:
        """Begin a streaming call, and return its stream."""
        stream_id = self._next_stream(path)
        stream = self._streams.stateful(stream_id)
        stream.closing = None
        stream.requested = False
        return stream_id

    def send(self, stream_id: int, body: bytes) -> None:
        """Send one message of a streaming call."""
        if stream_id in self._streams.open:
            self.sender.data(stream_id, self._streams.stateful(stream_id), len(body).to_bytes(PREFIX_BYTES), body)

    def half_close(self, stream_id: int) -> None:
        """End our side of a streaming call: no more messages come."""
        if stream_id in self._streams.open:
            self.sender.end(stream_id, self._streams.stateful(stream_id), b"")

    def _next_stream(self, path: str) -> int:
        self._streams.last = stream_id = self._streams.last + 2
        self._streams.open[stream_id] = None
        self.sender.block(stream_id, self._blocks.get(path) or self._encode(path), end_stream=False)
        return stream_id

    def _encode(self, path: str) -> bytes:
        """Return the header block of a call; it is remembered once all of its fields are in the server's table."""
        fields = [*self._fields, (":path", path)]
        fields.sort(key=lambda field: not field[0].startswith(":"))
        block = self._encoder.encode(fields)
        if len(block) == len(fields) and min(block) >= 0x80:
            self._blocks[path] = block
        else:
            self._blocks.clear()
        return block

    def _on_setting(self, name: int, value: int) -> None:
        """See `Role.on_setting`."""
        if name == frames.MAX_CONCURRENT_STREAMS:
            self._streams_max = value
        elif name == frames.HEADER_TABLE_SIZE:
            self._encoder.header_table_size = min(value, TABLE_BYTES)
            self._blocks.clear()
