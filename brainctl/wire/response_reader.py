"""Read the responses to calls out of the frames of a connection: the role of the client."""

from collections.abc import Callable
from typing import Final

from brainctl.errors import ApiError, Code
from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.events import Ended, Message
from brainctl.wire.frames import FRAME_HEADER, ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.grpc import DATA_HEADER, PREFIX_BYTES, MessageReader
from brainctl.wire.headers import HeaderDecoder
from brainctl.wire.response_head import read_response_head
from brainctl.wire.stream import Stream

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


class ResponseReader:
    """Implements role.Role for a connection to one server."""

    def __init__(self, connection: Connection, on_setting: Callable[[int, int], None]) -> None:
        """Create the reader of a connection from which nothing was read; see `Role` for `on_setting`."""
        self._connection = connection
        self._limits = connection.limits
        self._streams = connection.streams
        self._events = connection.events
        self.on_setting = on_setting
        self.forget = connection.sender.forget
        self._decoder = HeaderDecoder(read_response_head)

    def walk(self, data: bytes) -> int:
        """Handle frames as `Role.walk`, with a short way for a whole response: HEADERS, DATA with the one message,
        and trailers that say OK.

        All three are read in one step when their header blocks are known; this saves a Stream and the calls for three
        frames.
        """
        at, size = 0, len(data)
        read_frame = FRAME_HEADER.unpack_from
        known = self._decoder.memo.get
        connection, streams = self._connection, self._streams.open
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
                        connection.unacked += length + PREFIX_BYTES
                        self._events.append(Ended(stream_id, 0, "", data[tail - length : tail]))
                        at = stop
                        continue
            if end > size:
                break
            connection.on_frame(data[at + 3], flags, stream_id & frames.STREAM_MASK, data[body:end])
            at = end
        return at

    def on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """See `Role.on_block`: take in the headers of a response, or its trailers, which end the call."""
        head = self._decoder.decode(block)
        end = bool(flags & frames.END_STREAM)
        if stream_id not in self._streams.open:
            self._connection.on_late_frame(stream_id)
            return
        stream = self._streams.stateful(stream_id)
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
            stream.reader = MessageReader(self._limits.message_bytes, head.encoding)
        if end:
            if head.code is None:
                self._end(stream_id, Code.INTERNAL, "server closed the stream without sending trailers")
            else:
                self._end(stream_id, head.code, head.text)

    def on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        """See `Role.on_body`."""
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
        stream = self.forget(stream_id)
        message = None
        if stream is not None:
            if stream.requested and code == 0:
                if len(stream.messages) == 1:
                    message = stream.messages[0]
                else:
                    code, text = Code.INTERNAL, f"a unary response has one message, not {len(stream.messages)}"
            if stream.closing is None or stream.queued:
                self._streams.reset(stream_id, ErrorCode.CANCEL)
        self._events.append(Ended(stream_id, code, text, message))

    def on_reset(self, stream_id: int, code: int) -> None:
        """See `Role.on_reset`."""
        name = ErrorCode(code).name if code in ErrorCode.__members__.values() else str(code)
        text = f"stream terminated by RST_STREAM with error code: {name}"
        self.forget(stream_id)
        status = _RESET_CODES.get(ErrorCode(code), Code.INTERNAL) if name != str(code) else Code.INTERNAL
        self._events.append(Ended(stream_id, status, text, None))

    def on_end(self, stream_id: int, stream: Stream) -> None:
        """See `Role.on_end`: the call stays open, since the server has still to answer."""

    def on_ping(self) -> None:
        """See `Role.on_ping`: a server may send any number."""

    def on_pong(self, payload: bytes) -> None:
        """See `Role.on_pong`: a client sends none."""

    def on_goaway(self, last: int) -> None:
        """See `Role.on_goaway`: end the calls that the server will not serve."""
        for unserved in [number for number in self._streams.open if number > last]:
            self.forget(unserved)
            self._events.append(Ended(unserved, Code.UNAVAILABLE, "the server is going away", None))
