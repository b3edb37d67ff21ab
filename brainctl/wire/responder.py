"""Send the responses of the server role."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from struct import Struct
from typing import Final

from brainctl.errors import Code, Status
from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.frames import ErrorCode
from brainctl.wire.grpc import DATA_HEADER, PREFIX_BYTES, status_fields
from brainctl.wire.headers import TABLE_BYTES, literal_block
from brainctl.wire.limits import Limits
from brainctl.wire.stream import Stream

# Response blocks. The first HEADERS and the first trailers put their field into the peer's table, after which the
# blocks of a response are three bytes, each an index: it is 39 bytes with a message of 4, and packed from constants.
# Index 62 is the newest entry, which is grpc-status once both are in; content-type is then 63.
_HEAD_LITERAL: Final = b"\x88\x0f\x10\x10application/grpc"
_HEAD_INSERT: Final = b"\x88\x5f\x10application/grpc"
_HEAD_NEWEST: Final = b"\x88\xbe"
_HEAD_INDEXED: Final = b"\x88\xbf"
_TAIL_LITERAL: Final = b"\x00\x0bgrpc-status\x010"
_TAIL_INSERT: Final = b"\x40\x0bgrpc-status\x010"
_TAIL_INDEXED: Final = b"\xbe"
_EMPTY_TABLE: Final = b"\x20"

_ABSENT: Final = object()
_SMALL: Final = 1024
"""Bytes of the largest message, with its prefix, whose response is packed with one call."""
_REPLY_HEAD: Final = len(_HEAD_INDEXED).to_bytes(3) + bytes((frames.HEADERS, frames.END_HEADERS))
_REPLY_TAIL: Final = len(_TAIL_INDEXED).to_bytes(3) + bytes((frames.HEADERS, frames.END_HEADERS | frames.END_STREAM))


@cache
def _reply_of(size: int) -> tuple[Callable[..., bytes], bytes, bytes]:
    """Return how to pack the whole response to a message that has `size` bytes with its prefix.

    These are the packing function for a time when both blocks are in the peer's table, the bytes between the stream
    numbers of HEADERS and DATA, and the prefix. They are computed once per size, and then a response takes one call
    instead of one for each of its three frames.
    """
    middle = _HEAD_INDEXED + size.to_bytes(3) + bytes((frames.DATA, 0))
    whole = Struct(f">{len(_REPLY_HEAD)}sI{len(middle)}sI{PREFIX_BYTES}s{size - PREFIX_BYTES}s{len(_REPLY_TAIL)}sIc")
    return whole.pack, middle, (size - PREFIX_BYTES).to_bytes(PREFIX_BYTES)


class Responder(Connection):
    """The layer of ServerConnection for responses."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._orphans: set[int] = set()
        """Unary calls whose stream has ended while their answer is still being made."""
        self._head_block = _HEAD_INSERT
        self._tail_block = _TAIL_INSERT
        self._size_update = b""
        self._direct_bytes = 0
        """See `_set_direct`."""

    def reply(self, stream_id: int, body: bytes) -> None:
        """Send the response to a unary call: one message, and status OK."""
        try:
            stream = self._streams[stream_id]
        except KeyError:
            self._orphans.discard(stream_id)
            return
        size = len(body) + PREFIX_BYTES
        if stream is None and size <= self._direct_bytes and size <= self._window:
            del self._streams[stream_id]
            self._window -= size
            if size > _SMALL:
                data = DATA_HEADER.pack(size << 8, 0, stream_id, 0, len(body))
                tail = frames.headers(stream_id, _TAIL_INDEXED, end_stream=True, frame_bytes=frames.FRAME_BYTES)
                head = frames.headers(stream_id, _HEAD_INDEXED, end_stream=False, frame_bytes=frames.FRAME_BYTES)
                self._out += (head, data, body, tail)
                return
            pack, middle, prefix = _reply_of(size)
            self._out.append(
                pack(_REPLY_HEAD, stream_id, middle, stream_id, prefix, body, _REPLY_TAIL, stream_id, _TAIL_INDEXED)
            )
            return
        self.send(stream_id, body)
        self.finish(stream_id)

    def reply_all(self, stream_ids: Sequence[int], bodies: Sequence[bytes]) -> None:
        """Send the responses to several unary calls, as `reply` does, at about half the cost of one by one."""
        streams, out = self._streams, self._out
        known = _reply_of
        room = min(self._direct_bytes, self._window, _SMALL)
        for stream_id, body in zip(stream_ids, bodies, strict=True):
            size = len(body) + PREFIX_BYTES
            if size <= room and streams.get(stream_id, _ABSENT) is None:
                del streams[stream_id]
                self._window -= size
                room = min(room, self._window)
                pack, middle, prefix = known(size)
                out.append(
                    pack(_REPLY_HEAD, stream_id, middle, stream_id, prefix, body, _REPLY_TAIL, stream_id, _TAIL_INDEXED)
                )
            else:
                self.reply(stream_id, body)
                room = min(self._direct_bytes, self._window, _SMALL)

    def send(self, stream_id: int, body: bytes) -> None:
        """Send one message of a streaming response; see `paused`."""
        if stream_id not in self._streams:
            return
        stream = self._stateful(stream_id)
        self._spoken += 1
        size = len(body) + PREFIX_BYTES
        if (
            stream.started
            and stream.closing is None
            and not stream.queued
            and size <= self._frame_bytes
            and size <= stream.window
            and size <= self._window
        ):
            stream.window -= size
            self._window -= size
            self._out += (DATA_HEADER.pack(size << 8, 0, stream_id, 0, len(body)), body)
            return
        if not stream.started:
            stream.started = True
            self._send_block(stream_id, self._head_block, end_stream=False)
            if self._head_block == _HEAD_INSERT:
                self._head_block = _HEAD_NEWEST
        self._send_data(stream_id, stream, len(body).to_bytes(PREFIX_BYTES), body)

    def finish(self, stream_id: int) -> None:
        """End a response with OK."""
        stream = self._streams.get(stream_id)
        if stream is None or not stream.started:
            self.fail(stream_id, Status(Code.OK, ""))
        elif stream.queued:
            self._end_data(stream_id, stream, _TAIL_LITERAL)
        elif self._head_block == _HEAD_NEWEST:
            self._end_data(stream_id, stream, _TAIL_INSERT)
            self._head_block = _HEAD_INDEXED
            self._tail_block = _TAIL_INDEXED
            self._set_direct()
        else:
            self._end_data(stream_id, stream, self._tail_block)

    def fail(self, stream_id: int, status: Status) -> None:
        """End a response with a status; when no message was sent, there are trailers only."""
        if stream_id not in self._streams:
            self._orphans.discard(stream_id)
            return
        stream = self._stateful(stream_id)
        trailers = literal_block(status_fields(status.code, status.message))
        if not stream.started:
            trailers = _HEAD_LITERAL + trailers
        self._end_data(stream_id, stream, trailers)

    def expire(self, stream_id: int, status: Status) -> None:
        """End a response with a status although its answer is still being made; that answer will be dropped."""
        if stream_id in self._streams:
            stream = self._stateful(stream_id)
            if stream.requested:
                self._orphans.add(stream_id)
            self.fail(stream_id, status)

    def respond(
        self,
        stream_id: int,
        http_status: int,
        content_type: str,
        body: bytes,
        fields: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Send the response to a request that is not gRPC."""
        self.begin_page(stream_id, http_status, content_type, [*fields, ("content-length", str(len(body)))])
        stream = self._streams.get(stream_id)
        if stream is not None and (stream.head is None or stream.head.method != "HEAD"):
            self.send_page(stream_id, body)
        self.end_page(stream_id)

    def begin_page(
        self, stream_id: int, http_status: int, content_type: str, fields: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Send the head of a response to a request that is not gRPC; `send_page` and `end_page` follow."""
        if stream_id in self._streams:
            stream = self._stateful(stream_id)
            head = [(b":status", str(http_status).encode()), (b"content-type", content_type.encode())]
            head += [(name.lower().encode(), value.encode()) for name, value in fields]
            stream.started = True
            self._send_block(stream_id, literal_block(head), end_stream=False)

    def send_page(self, stream_id: int, data: bytes) -> None:
        """Send a part of a response that was begun; see `paused`."""
        if stream_id in self._streams:
            self._send_data(stream_id, self._stateful(stream_id), data)

    def end_page(self, stream_id: int) -> None:
        """End a response that was begun, or count as made an answer that nobody waits for any more."""
        if stream_id in self._streams:
            self._end_data(stream_id, self._stateful(stream_id), b"")
        else:
            self._orphans.discard(stream_id)

    def _refuse(self, stream_id: int, http_status: int, status: Status) -> None:
        stream = self._stateful(stream_id)
        fields = [(b":status", str(http_status).encode()), (b"content-type", b"application/grpc")]
        self._end_data(stream_id, stream, literal_block(fields + status_fields(status.code, status.message)))

    def _send_block(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        if self._size_update:
            block = self._size_update + block
            self._size_update = b""
        super()._send_block(stream_id, block, end_stream=end_stream)

    def _end_data(self, stream_id: int, stream: Stream, trailers: bytes) -> None:
        stream.requested = False
        super()._end_data(stream_id, stream, trailers)

    def _ended(self, stream_id: int, stream: Stream) -> None:
        self._forget(stream_id)
        if stream.remote_open:  # the rest of the request is not needed (RFC 9113 section 8.1)
            self._reset(stream_id, ErrorCode.NO_ERROR)

    def _on_setting(self, name: int, value: int) -> None:
        if name == frames.HEADER_TABLE_SIZE and value < TABLE_BYTES and self._head_block != _HEAD_LITERAL:
            self._head_block = _HEAD_LITERAL
            self._tail_block = _TAIL_LITERAL
            self._size_update = _EMPTY_TABLE
        super()._on_setting(name, value)
        self._set_direct()

    def _set_direct(self) -> None:
        """Set the size up to which a response is sent directly, in bytes of a message with its prefix.

        Such a response fits into one frame and into the window of a stream without state. The size is 0 while the
        response blocks are not in the peer's table.
        """
        indexed = self._tail_block == _TAIL_INDEXED
        self._direct_bytes = min(self._stream_window, frames.FRAME_BYTES) if indexed else 0
