"""Serve gRPC over one HTTP/2 connection: requests out of bytes, bytes out of responses."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from struct import Struct
from typing import Any, Final

from brainctl.errors import ApiError, Code, Status
from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.events import Closed, Event, HalfClosed, Message, Opened, PlainRequest, Requests, Reset
from brainctl.wire.frames import FRAME_HEADER, ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.grpc import DATA_HEADER, PREFIX_BYTES, MessageReader, status_fields
from brainctl.wire.head import Head, HeadReader
from brainctl.wire.headers import TABLE_BYTES, HeaderDecoder, literal_block
from brainctl.wire.keepalive import TOO_MANY_PINGS, Keepalive, Silence
from brainctl.wire.limits import Limits
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

_FREE_WORDS: Final = frozenset((8 << 8 | frames.PING, 4 << 8 | frames.WINDOW_UPDATE))
"""Lengths and types of frames that come often and do not change how many requests are taken."""
_LARGEST_WORD: Final = frames.FRAME_BYTES << 8 | 0xFF
_LARGEST_USUAL: Final = 1024 << 8
"""Length and type of the largest HEADERS frame that takes the short way."""
_SMALL_HEAD_BYTES: Final = 4096
"""Bytes of the largest header list that does not count as held by its stream."""
_DRAIN_PING: Final = b"draining"
"""The payload of the PING whose answer shows that the client has seen the first GOAWAY."""
_KEEPALIVE_PING: Final = b"alive?\0\0"
"""The payload of the PING that a silent client is sent."""
_SKIPS_REMEMBERED: Final = 16
"""Ranges of skipped stream numbers that are remembered."""
_FEW_STREAMS: Final = 256
"""Open streams up to which their state does not count as held."""
_STREAM_BYTES: Final = 1024
"""Bytes, about, that the state of an open stream costs."""
_ABSENT: Final = object()


@cache
def _call_of(block_bytes: int) -> tuple[int, int, Callable[[bytes, int], tuple[Any, ...]]]:
    """Return how to read calls with header blocks of some length in one step.

    These are length and type of their HEADERS frame, the number of bytes that they have around their message, and a
    function that unpacks these: the fields of a frame header, the block, and those of DATA_HEADER.
    """
    around = Struct(f">IBI{block_bytes}sIBIBI")
    return block_bytes << 8 | frames.HEADERS, around.size, around.unpack_from


class ServerConnection(Connection):
    """The connection of one client.

    Feed `receive`, act on its events, answer with `reply` and the other methods of the section on responses, and send
    what `take` returns. Answers on a stream that has ended (the client reset it) are dropped, so that owners need not
    check first.
    """

    def __init__(self, streaming: frozenset[str] = frozenset(), limits: Limits | None = None) -> None:
        """Create a connection, which has its SETTINGS to send.

        Args:
            streaming: the paths of the methods whose messages are passed on one by one.
            limits: bounds for the client; the defaults of Limits when None.
        """
        super().__init__(limits or Limits())
        self._orphans: set[int] = set()
        """Unary calls whose stream has ended while their answer is still being made."""
        self._head_block = HEAD_INSERT
        self._tail_block = TAIL_INSERT
        self._size_update = b""
        self._direct_bytes = 0
        """See `_set_direct`."""
        self._partial = 0
        """Bytes of requests that are not complete yet."""
        self._decoder = HeaderDecoder(HeadReader(streaming, self.limits.header_list_bytes))
        self._preface = frames.PREFACE
        self._usual = _call_of(0)
        """Reader of the last HEADERS frame, together with a DATA frame behind it."""
        self._skipped: list[range] = []
        """Stream numbers that the client skipped, and must not use any more."""
        self._draining = False
        self._drain_started = False
        self._keepalive = Keepalive(self.limits)
        self._greet(
            {
                frames.MAX_CONCURRENT_STREAMS: self.limits.streams,
                frames.INITIAL_WINDOW_SIZE: self._receive_window,
                frames.MAX_HEADER_LIST_SIZE: self.limits.header_list_bytes,
            }
        )

    # -- requests in --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Return the events that `data`, the next bytes from the client, completes; Closed is always the last."""
        self._keepalive.heard()
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
        """Handle frames as in Connection, with a short way for the usual request: HEADERS and DATA of one frame each,
        one message.

        Most header blocks of a client are as long as the one before, so what is around a call is unpacked in one step
        of 0.19 us, where its two frames take 0.64. Calls that follow each other and have the same block are one event.
        """
        size = len(data)
        read_frame = FRAME_HEADER.unpack_from
        known = self._decoder.memo.get
        streams, events = self._streams, self._events
        largest = min(frames.FRAME_BYTES - PREFIX_BYTES, self.limits.message_bytes)
        room = self._room()
        usual, around, read_call = self._usual
        next_id = self._last + 2
        stream_ids: list[int] = []  # of the last event
        bodies: list[bytes] = []
        last_block: bytes | None = None
        while size - at >= frames.HEADER_BYTES:
            # One call unpacks both frame headers, the block and the message prefix; a slice takes the message.
            if room > 0 and size - at >= around:
                word, flags, stream_id, block, data_word, data_flags, data_id, compressed, length = read_call(data, at)
                stop = at + around + length
                if (
                    word == usual
                    and flags == frames.END_HEADERS
                    and data_flags == frames.END_STREAM
                    and stream_id == data_id == next_id
                    and data_word == (length + PREFIX_BYTES) << 8
                    and not compressed
                    and stop <= size
                    and length <= largest
                ):
                    if block != last_block:
                        head = known(block) or self._decoder.decode(block)
                        if not head.plain:
                            self._try_open(stream_id, head)
                            room, next_id, last_block = self._room(), self._last + 2, None
                            at += around - DATA_HEADER.size
                            continue
                        stream_ids, bodies = [], []
                        events.append(Requests(head, stream_ids, bodies))
                        # Only a block that left the table unchanged is in the memo; any other is decoded each time.
                        last_block = block if known(block) else None
                    self._last = stream_id
                    self._unacked += length + PREFIX_BYTES
                    streams[stream_id] = None
                    stream_ids.append(stream_id)
                    bodies.append(data[stop - length : stop])
                    next_id += 2
                    room -= 1
                    at = stop
                    continue
            word, flags, stream_id = read_frame(data, at)
            if word != usual and word & 0xFF == frames.HEADERS and word <= _LARGEST_USUAL:
                usual, around, read_call = self._usual = _call_of(word >> 8)
                continue
            if word > _LARGEST_WORD:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame is larger than the limit")
            end = at + frames.HEADER_BYTES + (word >> 8)
            if end > size:
                break
            self._on_frame(word & 0xFF, flags, stream_id & frames.STREAM_MASK, data[at + frames.HEADER_BYTES : end])
            if word not in _FREE_WORDS:
                room, next_id, last_block = self._room(), self._last + 2, None
            at = end
        self._rest = data[at:]

    @property
    def held_bytes(self) -> int:
        """Return the bytes held for the client: incomplete requests, and answers that wait for its windows."""
        held = self.queued_bytes + self._partial
        if self._block is not None:
            held += len(self._block)
        if len(self._streams) > _FEW_STREAMS:
            held += len(self._streams) * _STREAM_BYTES
        return held

    def _room(self) -> int:
        """Return how many requests may take the short way; 0 when something has to be checked for each."""
        if self._block is not None or not self._settled or self._draining or self._overfull:
            return 0
        return self.limits.streams - len(self._streams) - len(self._orphans)

    @property
    def _overfull(self) -> bool:
        """Return whether the client makes the server hold too many bytes for more requests."""
        return self.queued_bytes > self.limits.queue_bytes or self._partial > self.limits.partial_bytes

    def _try_open(self, stream_id: int, head: Head) -> None:
        try:
            self._open(stream_id, head, end=False)
        except StreamFault as fault:
            self._on_stream_fault(stream_id, fault)

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """Open a stream, or end one with its trailers.

        Raises:
            ConnectionFault: the stream number is not one that may come now.
            StreamFault: the headers are out of place.
        """
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
        """Open a new stream.

        Raises:
            StreamFault: the head is malformed, or the limits are reached.
        """
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
        if head.size > _SMALL_HEAD_BYTES:
            self._partial += head.size
            stream.head_bytes = head.size
        if head.refusal is not None:
            http_status, status = head.refusal
            self._refuse(stream_id, http_status, status)
            return
        if head.streaming:
            self._events.append(Opened(stream_id, head))
        if end:
            self._on_body(stream_id, stream, b"", end=True)

    def _on_reset(self, stream_id: int, code: int) -> None:
        """Drop a stream that the client cancelled; a unary call that is being answered becomes an orphan."""
        stream = self._forget(stream_id)
        if stream is None or stream.requested:
            self._orphans.add(stream_id)
            if stream is not None and stream.head is not None and not stream.head.grpc:
                self._events.append(Reset(stream_id, code))
        elif stream.head is not None and stream.head.streaming:
            self._events.append(Reset(stream_id, code))

    # -- bodies of requests -------------------------------------------------------------------------------------------

    def _on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        """Take in the next bytes of a request, and append the events of what they complete.

        Raises:
            StreamFault: the body is not as long as its content-length.
        """
        head = stream.head
        assert head is not None
        stream.received += len(data)
        stream.remote_open = not end
        if head.length is not None and (stream.received > head.length or (end and stream.received < head.length)):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content-length does not match the body")
        if stream.reader is None:
            self._on_plain_body(stream_id, stream, head, data)
            return
        held = stream.reader.held_bytes
        try:
            try:
                messages = stream.reader.feed(data)
            finally:
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
        """Take in messages of a unary call, and append its event when it is complete.

        Raises:
            ApiError: the call does not have exactly one message.
        """
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
            self._partial -= stream.head_bytes
            self._streams[stream_id] = None
        self._events.append(Requests(head, [stream_id], [body]))

    def _on_plain_body(self, stream_id: int, stream: Stream, head: Head, data: bytes) -> None:
        """Take in bytes of a request that is not gRPC, and append its event when it is complete."""
        stream.body += data
        self._partial += len(data)
        if len(stream.body) > self.limits.http_body_bytes:
            self.respond(stream_id, 413, "text/plain", b"request body is too large\n")
        elif not stream.remote_open:
            body = bytes(stream.body)
            self._partial -= len(body)
            stream.body.clear()
            stream.requested = True
            self._events.append(PlainRequest(stream_id, head, body))

    def _forget(self, stream_id: int) -> Stream | None:
        stream = super()._forget(stream_id)
        if stream is not None:
            if stream.reader is not None:
                self._partial -= stream.reader.held_bytes
            self._partial -= stream.head_bytes + len(stream.body) + sum(map(len, stream.messages))
        return stream

    # -- responses ----------------------------------------------------------------------------------------------------

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
        streams, out = self._streams, self._out
        known = reply_of
        room = min(self._direct_bytes, self._window, SMALL)
        for stream_id, body in zip(stream_ids, bodies, strict=True):
            size = len(body) + PREFIX_BYTES
            if size <= room and streams.get(stream_id, _ABSENT) is None:
                del streams[stream_id]
                self._window -= size
                room = min(room, self._window)
                pack, middle, prefix = known(size)
                out.append(
                    pack(REPLY_HEAD, stream_id, middle, stream_id, prefix, body, REPLY_TAIL, stream_id, TAIL_INDEXED)
                )
            else:
                self.reply(stream_id, body)
                room = min(self._direct_bytes, self._window, SMALL)

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
            if self._head_block == HEAD_INSERT:
                self._head_block = HEAD_NEWEST
        self._send_data(stream_id, stream, len(body).to_bytes(PREFIX_BYTES), body)

    def finish(self, stream_id: int) -> None:
        """End a response with OK."""
        stream = self._streams.get(stream_id)
        if stream is None or not stream.started:
            self.fail(stream_id, Status(Code.OK, ""))
        elif stream.queued:
            self._end_data(stream_id, stream, TAIL_LITERAL)
        elif self._head_block == HEAD_NEWEST:
            self._end_data(stream_id, stream, TAIL_INSERT)
            self._head_block = HEAD_INDEXED
            self._tail_block = TAIL_INDEXED
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
            trailers = HEAD_LITERAL + trailers
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
        self.begin_response(stream_id, http_status, content_type, [*fields, ("content-length", str(len(body)))])
        stream = self._streams.get(stream_id)
        if stream is not None and (stream.head is None or stream.head.method != "HEAD"):
            self.send_body(stream_id, body)
        self.end_response(stream_id)

    def begin_response(
        self, stream_id: int, http_status: int, content_type: str, fields: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Send the head of a response to a request that is not gRPC; `send_body` and `end_response` follow."""
        if stream_id in self._streams:
            stream = self._stateful(stream_id)
            head = [(b":status", str(http_status).encode()), (b"content-type", content_type.encode())]
            head += [(name.lower().encode(), value.encode()) for name, value in fields]
            stream.started = True
            self._send_block(stream_id, literal_block(head), end_stream=False)

    def send_body(self, stream_id: int, data: bytes) -> None:
        """Send a part of a response that was begun; see `paused`."""
        if stream_id in self._streams:
            self._send_data(stream_id, self._stateful(stream_id), data)

    def end_response(self, stream_id: int) -> None:
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
        if name == frames.HEADER_TABLE_SIZE and value < TABLE_BYTES and self._head_block != HEAD_LITERAL:
            self._head_block = HEAD_LITERAL
            self._tail_block = TAIL_LITERAL
            self._size_update = EMPTY_TABLE
        super()._on_setting(name, value)
        self._set_direct()

    def _set_direct(self) -> None:
        """Set the size up to which a response is sent directly, in bytes of a message with its prefix.

        Such a response fits into one frame and into the window of a stream without state. The size is 0 while the
        response blocks are not in the peer's table.
        """
        indexed = self._tail_block == TAIL_INDEXED
        self._direct_bytes = min(self._stream_window, frames.FRAME_BYTES) if indexed else 0

    # -- keeping alive ------------------------------------------------------------------------------------------------

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        super()._on_ping(flags, stream_id, payload)
        if not flags & frames.ACK:
            state = (self._last, len(self._streams), self._spoken)
            if not self._keepalive.admits_ping(state, len(self._streams)):
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, TOO_MANY_PINGS)

    def tick(self) -> bool:
        """Count a second; return whether there is something to send, or the connection is to be closed."""
        super().tick()
        match self._keepalive.tick():
            case Silence.NOTHING:
                return False
            case Silence.ASK:
                self._out.append(frames.ping(_KEEPALIVE_PING))
            case Silence.CUT:
                self.close(ErrorCode.NO_ERROR, "the client has not answered a PING")
        return True

    # -- the end of the connection ------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Ask the client to open no more streams; those that cross with this are served until it answers a PING."""
        if not self._drain_started and not self.closed:
            self._drain_started = True
            self._out += (frames.goaway(frames.STREAM_MASK, ErrorCode.NO_ERROR), frames.ping(_DRAIN_PING))

    def _on_pong(self, payload: bytes) -> None:
        if self._drain_started and not self._draining and payload == _DRAIN_PING:
            self._draining = True
            self._out.append(frames.goaway(max(self._last, 0), ErrorCode.NO_ERROR))

    @property
    def drained(self) -> bool:
        """Return whether the client has seen the shutdown and everything is answered and handed to `take`."""
        return self._draining and not self._streams
