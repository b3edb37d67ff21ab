"""The server role of an HTTP/2 connection that carries gRPC: requests out of bytes, bytes out of responses."""

from struct import Struct
from typing import Final

from brainctl.errors import ApiError, Code, Status
from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.events import Closed, Event, HalfClosed, Message, Opened, PageRequest, Request, Reset
from brainctl.wire.frames import FRAME_HEADER, ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.grpc import PREFIX_BYTES, MessageReader, status_fields
from brainctl.wire.head import Head, HeadReader
from brainctl.wire.headers import TABLE_BYTES, HeaderDecoder, literal_block
from brainctl.wire.limits import Limits
from brainctl.wire.stream import Stream

_DATA_HEADER: Final = Struct(">IBIBI")
"""A frame header and the prefix of the gRPC message behind it."""
_PING_WORD: Final = 8 << 8 | frames.PING
_WINDOW_UPDATE_WORD: Final = 4 << 8 | frames.WINDOW_UPDATE
_LARGEST_WORD: Final = frames.FRAME_BYTES << 8 | 0xFF

# Response blocks. The first HEADERS and the first trailers put their field into the peer's table, after which the
# blocks of a response are three indices. Index 62 is the newest entry, which is grpc-status once both are in.
_HEAD_LITERAL: Final = b"\x88\x0f\x10\x10application/grpc"
_HEAD_INSERT: Final = b"\x88\x5f\x10application/grpc"
_HEAD_NEWEST: Final = b"\x88\xbe"
_HEAD_INDEXED: Final = b"\x88\xbf"
_TAIL_LITERAL: Final = b"\x00\x0bgrpc-status\x010"
_TAIL_INSERT: Final = b"\x40\x0bgrpc-status\x010"
_TAIL_INDEXED: Final = b"\xbe"
_EMPTY_TABLE: Final = b"\x20"

_REPLY_HEAD: Final = Struct(">IBI2sIBIBI")
_REPLY_TAIL: Final = Struct(">IBIc")
_HEAD_WORD: Final = len(_HEAD_INDEXED) << 8 | frames.HEADERS
_TAIL_WORD: Final = len(_TAIL_INDEXED) << 8 | frames.HEADERS
_TAIL_FLAGS: Final = frames.END_HEADERS | frames.END_STREAM
_DRAIN_PING: Final = b"draining"
_SKIPS_REMEMBERED: Final = 16


class ServerConnection(Connection):
    """One client. `streaming` holds the paths of the methods whose messages are wanted one by one.

    Feed `receive`, act on its events, answer with the methods below, and send what `take` gives. Answers on a stream
    that is over (the client reset it) are dropped, so that owners need not ask first.
    """

    def __init__(self, streaming: frozenset[str] = frozenset(), limits: Limits | None = None) -> None:
        super().__init__(limits or Limits())
        self._decoder = HeaderDecoder(HeadReader(streaming, self.limits.header_list_bytes))
        self._preface = frames.PREFACE
        self._skipped: list[range] = []
        self._orphans: set[int] = set()
        self._draining = False
        self._drain_started = False
        self._head_block = _HEAD_INSERT
        self._tail_block = _TAIL_INSERT
        self._size_update = b""
        self._direct_bytes = 0
        self._greet(
            {
                frames.MAX_CONCURRENT_STREAMS: self.limits.streams,
                frames.INITIAL_WINDOW_SIZE: self._receive_window,
                frames.MAX_HEADER_LIST_SIZE: self.limits.header_list_bytes,
            }
        )

    # -- requests in --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """The events that `data`, the next bytes from the client, completes; Closed is the last when it comes."""
        if self._preface and not self.closed:
            data = self._rest + data
            self._rest = b""
            size = len(self._preface)
            if data[:size] != self._preface[: len(data)]:
                text = "the connection does not begin with the preface of HTTP/2"
                self.close(ErrorCode.PROTOCOL_ERROR, text)
                return [Closed(ErrorCode.PROTOCOL_ERROR, text)]
            if len(data) < size:
                self._rest = data
                return []
            self._preface = b""
            data = data[size:]
        return super().receive(data)

    def _walk(self, data: bytes, at: int) -> None:
        """As in Connection, with a short way for the usual request: HEADERS and DATA of one frame each, one message."""
        size = len(data)
        read_frame = FRAME_HEADER.unpack_from
        read_data = _DATA_HEADER.unpack_from
        known = self._decoder.memo.get
        new_event = tuple.__new__  # half the cost of Request(...)
        streams = self._streams
        events = self._events
        largest = min(frames.FRAME_BYTES - PREFIX_BYTES, self.limits.message_bytes)
        room = self._room()
        while size - at >= frames.HEADER_BYTES:
            word, flags, stream_id = read_frame(data, at)
            if word > _LARGEST_WORD:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame is larger than the limit")
            body = at + frames.HEADER_BYTES
            end = body + (word >> 8)
            if (
                flags == frames.END_HEADERS
                and word & 0xFF == frames.HEADERS
                and stream_id == self._last + 2
                and room > 0
                and size - end >= frames.HEADER_BYTES + PREFIX_BYTES
            ):
                data_word, data_flags, data_stream, compressed, length = read_data(data, end)
                stop = end + frames.HEADER_BYTES + PREFIX_BYTES + length
                if (
                    data_flags == frames.END_STREAM
                    and data_word == (length + PREFIX_BYTES) << 8
                    and data_stream == stream_id
                    and not compressed
                    and stop <= size
                    and length <= largest
                ):
                    block = data[body:end]
                    head = known(block) or self._decoder.decode(block)
                    if head.plain:
                        self._last = stream_id
                        self._unacked += length + PREFIX_BYTES
                        streams[stream_id] = None
                        events.append(new_event(Request, (stream_id, head, data[stop - length : stop])))
                        room -= 1
                        at = stop
                        continue
                    self._try_open(stream_id, head)
                    room = self._room()
                    at = end
                    continue
            if end > size:
                break
            self._on_frame(word & 0xFF, flags, stream_id & frames.STREAM_MASK, data[body:end])
            if word != _PING_WORD and word != _WINDOW_UPDATE_WORD:  # these two come often, and take no room
                room = self._room()
            at = end
        self._rest = data[at:]

    def _room(self) -> int:
        """How many requests may take the short way; 0 when something has to be looked at for each."""
        if self._block is not None or not self._settled or self._draining or self._overfull:
            return 0
        return self.limits.streams - len(self._streams) - len(self._orphans)

    @property
    def _overfull(self) -> bool:
        return self.queued_bytes > self.limits.queue_bytes or self._partial > self.limits.partial_bytes

    def _try_open(self, stream_id: int, head: Head) -> None:
        try:
            self._open(stream_id, head, end=False)
        except StreamFault as fault:
            self._on_stream_fault(stream_id, fault)

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        head = self._decoder.decode(block)
        end = bool(flags & frames.END_STREAM)
        if stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "client stream with an even number")
        if stream_id > self._last:
            self._open(stream_id, head, end=end)
            return
        if stream_id not in self._streams:
            if any(stream_id in skipped for skipped in self._skipped):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "stream numbers go back")
            if stream_id not in self._reset_by_us:
                raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
            self._count_control()
            return
        stream = self._streams[stream_id]
        if stream is None or not stream.remote_open:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS on a half-closed stream")
        if not head.trailers or not end:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "second HEADERS are not trailers")
        self._on_body(stream_id, stream, b"", end=True)

    def _open(self, stream_id: int, head: Head, *, end: bool) -> None:
        """A new stream; StreamFault when it cannot be."""
        if stream_id != self._last + 2:
            self._skipped = [*self._skipped[1 - _SKIPS_REMEMBERED :], range(self._last + 2, stream_id, 2)]
        self._last = stream_id
        if head.fault:
            raise StreamFault(*head.fault)
        if self._draining or len(self._streams) + len(self._orphans) >= self.limits.streams:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "no more streams")
        if self._overfull:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "too much waits to be read or completed")
        reader = MessageReader(self.limits.message_bytes, head.encoding) if head.grpc else None
        stream = Stream(self._stream_window, head, reader)
        self._streams[stream_id] = stream
        if head.refusal is not None:
            http_status, status = head.refusal
            self._refuse(stream_id, http_status, status)
            return
        if head.streaming:
            self._events.append(Opened(stream_id, head))
        if end:
            self._on_body(stream_id, stream, b"", end=True)

    def _on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        head = stream.head
        assert head is not None
        stream.received += len(data)
        stream.remote_open = not end
        if head.length is not None and (stream.received > head.length or (end and stream.received < head.length)):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content-length does not match the body")
        if stream.reader is None:
            self._on_page_body(stream_id, stream, head, data)
            return
        held = stream.reader.held_bytes
        try:
            messages = stream.reader.feed(data)
            self._partial += stream.reader.held_bytes - held
            if end:
                stream.reader.close()
            if head.streaming:
                self._events.extend(Message(stream_id, body) for body in messages)
                if end:
                    self._events.append(HalfClosed(stream_id))
            else:
                self._on_unary_body(stream_id, stream, head, messages)
        except ApiError as error:
            if head.streaming:
                self._events.append(Reset(stream_id, ErrorCode.CANCEL))
            self.fail(stream_id, error.status)

    def _on_unary_body(self, stream_id: int, stream: Stream, head: Head, messages: list[bytes]) -> None:
        stream.messages += messages
        self._partial += sum(map(len, messages))
        if stream.remote_open and len(stream.messages) <= 1:
            return
        if len(stream.messages) != 1:
            text = f"grpc: a unary call has one message, this one has {len(stream.messages)}"
            raise ApiError(Status(Code.INTERNAL, text))
        body = stream.messages.pop()
        self._partial -= len(body)
        stream.requested = True
        if stream.window == self._stream_window:
            self._streams[stream_id] = None
        self._events.append(Request(stream_id, head, body))

    def _on_page_body(self, stream_id: int, stream: Stream, head: Head, data: bytes) -> None:
        stream.body += data
        self._partial += len(data)
        if len(stream.body) > self.limits.message_bytes:
            self.respond(stream_id, 413, "text/plain", b"request body is too large\n")
        elif not stream.remote_open:
            body = bytes(stream.body)
            self._partial -= len(body)
            stream.body.clear()
            stream.requested = True
            self._events.append(PageRequest(stream_id, head, body))

    def _on_reset(self, stream_id: int, code: int) -> None:
        stream = self._forget(stream_id)
        if stream is None or stream.requested:
            self._orphans.add(stream_id)
        elif stream.head is not None and stream.head.streaming:
            self._events.append(Reset(stream_id, code))

    def _on_setting(self, name: int, value: int) -> None:
        if name == frames.HEADER_TABLE_SIZE and value < TABLE_BYTES and self._head_block != _HEAD_LITERAL:
            self._head_block = _HEAD_LITERAL
            self._tail_block = _TAIL_LITERAL
            self._size_update = _EMPTY_TABLE
        super()._on_setting(name, value)
        self._set_direct()

    def _set_direct(self) -> None:
        """The largest message, with its prefix, whose response needs neither a look at its stream's window nor two
        frames; 0 while the response blocks are not in the peer's table.
        """
        indexed = self._tail_block == _TAIL_INDEXED
        self._direct_bytes = min(self._stream_window, self._frame_bytes) if indexed else 0

    # -- responses out ------------------------------------------------------------------------------------------------

    def reply(self, stream_id: int, body: bytes) -> None:
        """The response of a unary call: one message, and OK."""
        try:
            stream = self._streams[stream_id]
        except KeyError:
            self._orphans.discard(stream_id)
            return
        size = len(body) + PREFIX_BYTES
        if stream is None and size <= self._direct_bytes and size <= self._window:
            del self._streams[stream_id]
            self._window -= size
            self._out += (
                _REPLY_HEAD.pack(
                    _HEAD_WORD,
                    frames.END_HEADERS,
                    stream_id,
                    _HEAD_INDEXED,
                    size << 8,
                    0,
                    stream_id,
                    0,
                    len(body),
                ),
                body,
                _REPLY_TAIL.pack(_TAIL_WORD, _TAIL_FLAGS, stream_id, _TAIL_INDEXED),
            )
            return
        self.send(stream_id, body)
        self.finish(stream_id)

    def send(self, stream_id: int, body: bytes) -> None:
        """One message of a streaming response; see `paused`."""
        if stream_id not in self._streams:
            return
        stream = self._stateful(stream_id)
        self._controls_left += 1  # for the PING that a client may send with each answer
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
        """End a response with a status; without headers before it when no message was sent."""
        if stream_id not in self._streams:
            self._orphans.discard(stream_id)
            return
        stream = self._stateful(stream_id)
        trailers = literal_block(status_fields(status.code, status.message))
        if not stream.started:
            trailers = _HEAD_LITERAL + trailers
        self._end_data(stream_id, stream, trailers)

    def expire(self, stream_id: int, status: Status) -> None:
        """End a response with a status although its answer is still being made, and will be dropped."""
        if stream_id in self._streams:
            stream = self._stateful(stream_id)
            if stream.requested:
                self._orphans.add(stream_id)
            self.fail(stream_id, status)

    def respond(self, stream_id: int, http_status: int, content_type: str, body: bytes) -> None:
        """The response to a request that is not gRPC."""
        if stream_id not in self._streams:
            self._orphans.discard(stream_id)
            return
        stream = self._stateful(stream_id)
        fields = [
            (b":status", str(http_status).encode()),
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        stream.started = True
        self._send_block(stream_id, literal_block(fields), end_stream=False)
        if stream.head is None or stream.head.method != "HEAD":
            self._send_data(stream_id, stream, body)
        self._end_data(stream_id, stream, b"")

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
        if stream.remote_open:  # nothing more is wanted of the request
            self._reset(stream_id, ErrorCode.NO_ERROR)

    # -- the end of the connection ------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Ask the client to open no more streams; those that crossed with it are taken until it has answered a PING."""
        if not self._drain_started and not self.closed:
            self._drain_started = True
            self._out += (frames.goaway(frames.STREAM_MASK, ErrorCode.NO_ERROR), frames.ping(_DRAIN_PING))

    def _on_pong(self, payload: bytes) -> None:
        if self._drain_started and not self._draining and payload == _DRAIN_PING:
            self._draining = True
            self._out.append(frames.goaway(max(self._last, 0), ErrorCode.NO_ERROR))

    @property
    def drained(self) -> bool:
        """Whether the client knows of the shutdown and everything is answered and handed to `take`."""
        return self._draining and not self._streams
