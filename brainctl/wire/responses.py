"""Write the responses of a server to gRPC calls."""

from collections.abc import Sequence
from typing import Final

from brainctl.errors import Code, Status
from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.grpc import DATA_HEADER, PREFIX_BYTES, status_fields
from brainctl.wire.headers import TABLE_BYTES, literal_block
from brainctl.wire.response_blocks import (
    EMPTY_TABLE,
    HEAD_INDEXED,
    HEAD_INSERT,
    HEAD_LITERAL,
    HEAD_NEWEST,
    REPLY_HEAD,
    REPLY_TAIL,
    SMALL,
    TAIL_INDEXED,
    TAIL_INSERT,
    TAIL_LITERAL,
    reply_of,
)
from brainctl.wire.stream import Stream

_ABSENT: Final = object()


class ResponseWriter:
    """The responses of one connection. Those on a stream that has ended (the client reset it) are dropped."""

    def __init__(self, connection: Connection) -> None:
        """Create the writer of a connection to which no response was sent."""
        self.orphans: set[int] = set()
        """Unary calls whose stream has ended while their answer is still being made."""
        self._streams = connection.streams
        self._sender = connection.sender
        self._out = connection.out
        self._head_block = HEAD_INSERT
        self._tail_block = TAIL_INSERT
        self._direct_bytes = 0
        """See `_set_direct`."""

    def reply(self, stream_id: int, body: bytes) -> None:
        """Send the response to a unary call: one message, and status OK."""
        streams, sender = self._streams.open, self._sender
        try:
            stream = streams[stream_id]
        except KeyError:
            self.orphans.discard(stream_id)
            return
        size = len(body) + PREFIX_BYTES
        if stream is None and size <= self._direct_bytes and size <= sender.window:
            del streams[stream_id]
            sender.window -= size
            if size > SMALL:
                data = DATA_HEADER.pack(size << 8, 0, stream_id, 0, len(body))
                tail = frames.headers(stream_id, TAIL_INDEXED, end_stream=True, frame_bytes=frames.FRAME_BYTES)
                head = frames.headers(stream_id, HEAD_INDEXED, end_stream=False, frame_bytes=frames.FRAME_BYTES)
                self._out += (head, data, body, tail)
                return
            pack, middle, prefix = reply_of(size)
            self._out.append(
                pack(REPLY_HEAD, stream_id, middle, stream_id, prefix, body, REPLY_TAIL, stream_id, TAIL_INDEXED)
            )
            return
        self.send(stream_id, body)
        self.finish(stream_id)

    def reply_all(self, stream_ids: Sequence[int], bodies: Sequence[bytes]) -> None:
        """Send the responses to several unary calls, as `reply` does, at about half the cost of one by one."""
        streams, out, sender = self._streams.open, self._out, self._sender
        known = reply_of
        room = min(self._direct_bytes, sender.window, SMALL)
        for stream_id, body in zip(stream_ids, bodies, strict=True):
            size = len(body) + PREFIX_BYTES
            if size <= room and streams.get(stream_id, _ABSENT) is None:
                del streams[stream_id]
                sender.window -= size
                room = min(room, sender.window)
                pack, middle, prefix = known(size)
                out.append(
                    pack(REPLY_HEAD, stream_id, middle, stream_id, prefix, body, REPLY_TAIL, stream_id, TAIL_INDEXED)
                )
            else:
                self.reply(stream_id, body)
                room = min(self._direct_bytes, sender.window, SMALL)

    def send(self, stream_id: int, body: bytes) -> None:
        """Send one message of a streaming response; see `Connection.paused`."""
        if stream_id not in self._streams.open:
            return
        stream, sender = self._streams.stateful(stream_id), self._sender
        sender.spoken += 1
        size = len(body) + PREFIX_BYTES
        if (
            stream.started
            and stream.closing is None
            and not stream.queued
            and size <= sender.frame_bytes
            and size <= stream.window
            and size <= sender.window
        ):
            stream.window -= size
            sender.window -= size
            self._out += (DATA_HEADER.pack(size << 8, 0, stream_id, 0, len(body)), body)
            return
        if not stream.started:
            stream.started = True
            sender.block(stream_id, self._head_block, end_stream=False)
            if self._head_block == HEAD_INSERT:
                self._head_block = HEAD_NEWEST
        sender.data(stream_id, stream, len(body).to_bytes(PREFIX_BYTES), body)

    def finish(self, stream_id: int) -> None:
        """End a response with OK."""
        stream = self._streams.open.get(stream_id)
        if stream is None or not stream.started:
            self.fail(stream_id, Status(Code.OK, ""))
        elif stream.queued:
            self.end(stream_id, stream, TAIL_LITERAL)
        elif self._head_block == HEAD_NEWEST:
            self.end(stream_id, stream, TAIL_INSERT)
            self._head_block = HEAD_INDEXED
            self._tail_block = TAIL_INDEXED
            self._set_direct()
        else:
            self.end(stream_id, stream, self._tail_block)

    def fail(self, stream_id: int, status: Status) -> None:
        """End a response with a status; when no message was sent, there are trailers only."""
        if stream_id not in self._streams.open:
            self.orphans.discard(stream_id)
            return
        stream = self._streams.stateful(stream_id)
        trailers = literal_block(status_fields(status.code, status.message))
        if not stream.started:
            trailers = HEAD_LITERAL + trailers
        self.end(stream_id, stream, trailers)

    def expire(self, stream_id: int, status: Status) -> None:
        """End a response with a status although its answer is still being made; that answer will be dropped."""
        if stream_id in self._streams.open:
            if self._streams.stateful(stream_id).requested:
                self.orphans.add(stream_id)
            self.fail(stream_id, status)

    def refuse(self, stream_id: int, http_status: int, status: Status) -> None:
        """End the response to a call that is not one, with an HTTP status and that of gRPC."""
        stream = self._streams.stateful(stream_id)
        fields = [(b":status", str(http_status).encode()), (b"content-type", b"application/grpc")]
        self.end(stream_id, stream, literal_block(fields + status_fields(status.code, status.message)))

    def end(self, stream_id: int, stream: Stream, trailers: bytes) -> None:
        """End our side of a stream, as `Sender.end`."""
        stream.requested = False
        self._sender.end(stream_id, stream, trailers)

    def on_setting(self, name: int, value: int) -> None:
        """See `Role.on_setting`: use no HPACK table that is too small for the blocks of responses."""
        if name == frames.HEADER_TABLE_SIZE and value < TABLE_BYTES and self._head_block != HEAD_LITERAL:
            self._head_block = HEAD_LITERAL
            self._tail_block = TAIL_LITERAL
            self._sender.prefix = EMPTY_TABLE
        self._set_direct()

    def _set_direct(self) -> None:
        """Set the size up to which a response is sent directly, in bytes of a message with its prefix.

        Such a response fits into one frame and into the window of a stream without state. The size is 0 while the
        response blocks are not in the peer's table.
        """
        indexed = self._tail_block == TAIL_INDEXED
        self._direct_bytes = min(self._streams.initial_window, frames.FRAME_BYTES) if indexed else 0
