"""Call gRPC methods over one HTTP/2 connection, for load and for tests against the server role."""

from typing import Final

import hpack

from brainctl.errors import ApiError, Code
from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.events import Ended, Message
from brainctl.wire.frames import FRAME_HEADER, ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.grpc import DATA_HEADER, PREFIX_BYTES, MessageReader, decode_message_text
from brainctl.wire.head import split_fields
from brainctl.wire.headers import TABLE_BYTES, Field, HeaderDecoder
from brainctl.wire.limits import Limits
from brainctl.wire.stream import Stream

LIMITS: Final = Limits(message_bytes=1 << 28, window_bytes=1 << 28, partial_bytes=1 << 32, resets=1 << 32)
"""Bounds for a server, which the client has chosen: what it asks for may be large."""

_RESET_CODES: Final = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
}
"""gRPC status by the code of an RST_STREAM; INTERNAL for all others."""
_HTTP_CODES: Final = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}
"""gRPC status by the HTTP status of a response without grpc-status; UNKNOWN for all others."""


class ResponseHead:
    """The header fields of a response, or its trailers."""

    __slots__ = ("code", "encoding", "fault", "http_status", "text")

    def __init__(self) -> None:
        self.http_status: int | None = None
        """None in trailers."""
        self.code: int | None = None
        """grpc-status, None without one."""
        self.text = ""
        """grpc-message, decoded."""
        self.encoding = b""
        self.fault: str | None = None
        """Why the head is malformed, None when it is not."""


def read_response_head(fields: list[Field]) -> ResponseHead:
    """Return the head that `fields` make; a malformed one has `fault` set."""
    head = ResponseHead()
    try:
        pseudo, regular = split_fields(fields, {b":status"})
    except StreamFault as fault:
        head.fault = str(fault)
        return head
    values = dict(regular)
    status, code = pseudo.get(b":status"), values.get(b"grpc-status")
    if (status is not None and not status.isdigit()) or (code is not None and not code.isdigit()):
        head.fault = "a status is not a number"
        return head
    head.http_status = int(status) if status is not None else None
    head.code = int(code) if code is not None else None
    head.text = decode_message_text(values.get(b"grpc-message", b""))
    head.encoding = values.get(b"grpc-encoding", b"")
    return head


class ClientConnection(Connection):
    """Calls to one server. Every call ends with one Ended event, unless Closed ends all of them or `reset` this one."""

    def __init__(self, authority: str, *, scheme: str = "http", limits: Limits = LIMITS) -> None:
        """Create a connection, which has preface and SETTINGS to send.

        Args:
            authority: HOST[:PORT] of the server.
            scheme: http or https.
            limits: bounds for what the server sends.
        """
        super().__init__(limits)
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
        self._decoder = HeaderDecoder(read_response_head)
        self._streams_max = frames.STREAM_MASK
        self._out.append(frames.PREFACE)
        self._greet(
            {
                frames.ENABLE_PUSH: 0,
                frames.INITIAL_WINDOW_SIZE: self._receive_window,
                frames.MAX_HEADER_LIST_SIZE: limits.header_list_bytes,
            }
        )

    @property
    def room(self) -> int:
        """Return how many more calls the server takes at once."""
        return self._streams_max - len(self._streams)

    # -- calls out ----------------------------------------------------------------------------------------------------

    def request(self, path: str, body: bytes) -> int:
        """Make a unary call, and return its stream. The response comes with the Ended event."""
        stream_id = self._next_stream(path)
        size = len(body) + PREFIX_BYTES
        if size > self._window or size > self._stream_window or size > self._frame_bytes:
            stream = self._stateful(stream_id)
            stream.closing = None
            self._send_data(stream_id, stream, len(body).to_bytes(PREFIX_BYTES), body)
            self._end_data(stream_id, stream, b"")
        else:
            self._window -= size
            self._out += (DATA_HEADER.pack(size << 8, frames.END_STREAM, stream_id, 0, len(body)), body)
        return stream_id

    def open(self, path: str) -> int:
        """Begin a streaming call, and return its stream."""
        stream_id = self._next_stream(path)
        stream = self._stateful(stream_id)
        stream.closing = None
        stream.requested = False
        return stream_id

    def send(self, stream_id: int, body: bytes) -> None:
        """Send one message of a streaming call."""
        if stream_id in self._streams:
            self._send_data(stream_id, self._stateful(stream_id), len(body).to_bytes(PREFIX_BYTES), body)

    def half_close(self, stream_id: int) -> None:
        """End our side of a streaming call: no more messages come."""
        if stream_id in self._streams:
            self._end_data(stream_id, self._stateful(stream_id), b"")

    def _next_stream(self, path: str) -> int:
        self._last = stream_id = self._last + 2
        self._streams[stream_id] = None
        self._send_block(stream_id, self._blocks.get(path) or self._encode(path), end_stream=False)
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

    def _stateful(self, stream_id: int) -> Stream:
        """Return the state of a call as in Connection; made for a unary call whose request is sent and whose response
        has not begun, which has none.
        """
        stream = self._streams[stream_id]
        if stream is None:
            stream = Stream(self._stream_window)
            stream.requested = True
            stream.closing = b""
            self._streams[stream_id] = stream
        return stream

    def _ended(self, stream_id: int, stream: Stream) -> None:
        """Leave the call open: our side is done, and the server has still to answer."""

    # -- responses in -------------------------------------------------------------------------------------------------

    def _walk(self, data: bytes, at: int) -> None:
        """Handle frames as in Connection, with a short way for a whole response: HEADERS, DATA with the one message,
        and trailers that say OK.

        All three are read in one step when their header blocks are known; this saves a Stream and the calls for three
        frames.
        """
        size = len(data)
        read_frame = FRAME_HEADER.unpack_from
        known = self._decoder.memo.get
        streams = self._streams
        while size - at >= frames.HEADER_BYTES:
            word, flags, stream_id = read_frame(data, at)
            if word >> 8 > frames.FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame is larger than the limit")
            body = at + frames.HEADER_BYTES
            end = body + (word >> 8)
            if (
                flags == frames.END_HEADERS
                and word & 0xFF == frames.HEADERS
                and size - end >= frames.HEADER_BYTES + PREFIX_BYTES
                and streams.get(stream_id, self) is None
                and (head := known(data[body:end])) is not None
                and head.http_status == 200
            ):
                data_word, data_flags, data_stream, compressed, length = DATA_HEADER.unpack_from(data, end)
                tail = end + frames.HEADER_BYTES + PREFIX_BYTES + length
                if (
                    data_word == (length + PREFIX_BYTES) << 8
                    and data_stream == stream_id
                    and not data_flags
                    and not compressed
                    and size - tail >= frames.HEADER_BYTES
                ):
                    word, flags, tail_stream = read_frame(data, tail)
                    stop = tail + frames.HEADER_BYTES + (word >> 8)
                    if (
                        flags == frames.END_HEADERS | frames.END_STREAM
                        and word & 0xFF == frames.HEADERS
                        and tail_stream == stream_id
                        and stop <= size
                        and (trailers := known(data[tail + frames.HEADER_BYTES : stop])) is not None
                        and trailers.code == 0
                    ):
                        del streams[stream_id]
                        self._unacked += length + PREFIX_BYTES
                        self._events.append(Ended(stream_id, 0, "", data[tail - length : tail]))
                        at = stop
                        continue
            if end > size:
                break
            self._on_frame(data[at + 3], flags, stream_id & frames.STREAM_MASK, data[body:end])
            at = end
        self._rest = data[at:]

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """Take in the headers of a response, or its trailers, which end the call."""
        head = self._decoder.decode(block)
        end = bool(flags & frames.END_STREAM)
        if stream_id not in self._streams:
            self._on_late_frame(stream_id)
            return
        stream = self._stateful(stream_id)
        if head.fault is not None:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, head.fault)
        if stream.started and not end:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "second HEADERS are not trailers")
        if not stream.started:
            if head.http_status is None:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "response without a status")
            if head.http_status < 200 and not end:
                return
            if head.http_status != 200 and head.code is None:
                text = f"unexpected HTTP status code received from server: {head.http_status}"
                self._end(stream_id, _HTTP_CODES.get(head.http_status, Code.UNKNOWN), text)
                return
            stream.started = True
            stream.reader = MessageReader(self.limits.message_bytes, head.encoding)
        if end:
            if head.code is None:
                self._end(stream_id, Code.INTERNAL, "server closed the stream without sending trailers")
            else:
                self._end(stream_id, head.code, head.text)

    def _on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        """Take in the messages of a response."""
        if stream.reader is None:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "DATA before HEADERS")
        try:
            messages = stream.reader.feed(data)
        except ApiError as error:
            self._end(stream_id, error.status.code, error.status.message)
            return
        if stream.requested:
            stream.messages += messages
        else:
            self._events.extend(Message(stream_id, body) for body in messages)
        if end:
            self._end(stream_id, Code.INTERNAL, "server closed the stream without sending trailers")

    def _end(self, stream_id: int, code: int, text: str) -> None:
        """End a call, and append its Ended event."""
        stream = self._forget(stream_id)
        message = None
        if stream is not None:
            if stream.requested and code == 0:
                if len(stream.messages) == 1:
                    message = stream.messages[0]
                else:
                    code, text = Code.INTERNAL, f"a unary response has one message, not {len(stream.messages)}"
            if stream.closing is None or stream.queued:
                self._reset(stream_id, ErrorCode.CANCEL)
        self._events.append(Ended(stream_id, code, text, message))

    def _on_reset(self, stream_id: int, code: int) -> None:
        name = ErrorCode(code).name if code in ErrorCode.__members__.values() else str(code)
        text = f"stream terminated by RST_STREAM with error code: {name}"
        self._forget(stream_id)
        status = _RESET_CODES.get(ErrorCode(code), Code.INTERNAL) if name != str(code) else Code.INTERNAL
        self._events.append(Ended(stream_id, status, text, None))

    def _on_setting(self, name: int, value: int) -> None:
        if name == frames.MAX_CONCURRENT_STREAMS:
            self._streams_max = value
        elif name == frames.HEADER_TABLE_SIZE:
            self._encoder.header_table_size = min(value, TABLE_BYTES)
            self._blocks.clear()
        super()._on_setting(name, value)

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        super()._on_goaway(flags, stream_id, payload)
        last = frames.read_word(payload)
        for unserved in [number for number in self._streams if number > last]:
            self._forget(unserved)
            self._events.append(Ended(unserved, Code.UNAVAILABLE, "the server is going away", None))
