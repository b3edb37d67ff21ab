"""Serve gRPC over one HTTP/2 connection: requests out of bytes, bytes out of responses."""

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any, Final

from brainctl.wire import frames
from brainctl.wire.events import Closed, Event, Opened, Requests, Reset
from brainctl.wire.frames import FRAME_HEADER, ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.grpc import DATA_HEADER, PREFIX_BYTES, MessageReader
from brainctl.wire.head import Head, HeadReader
from brainctl.wire.headers import HeaderDecoder
from brainctl.wire.keepalive import TOO_MANY_PINGS, Keepalive, Silence
from brainctl.wire.limits import Limits
from brainctl.wire.request_bodies import RequestBodies
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


@cache
def _call_of(block_bytes: int) -> tuple[int, int, Callable[[bytes, int], tuple[Any, ...]]]:
    """Return how to read calls with header blocks of some length in one step.

    These are length and type of their HEADERS frame, the number of bytes that they have around their message, and a
    function that unpacks these: the fields of a frame header, the block, and those of DATA_HEADER.
    """
    around = Struct(f">IBI{block_bytes}sIBIBI")
    return block_bytes << 8 | frames.HEADERS, around.size, around.unpack_from


class ServerConnection(RequestBodies):
    """The connection of one client.

    Feed `receive`, act on its events, answer with the methods of Responder, and send what `take` returns. Answers on a
    stream that has ended (the client reset it) are dropped, so that owners need not check first.
    """

    def __init__(self, streaming: frozenset[str] = frozenset(), limits: Limits | None = None) -> None:
        """Create a connection, which has its SETTINGS to send.

        Args:
            streaming: the paths of the methods whose messages are passed on one by one.
            limits: bounds for the client; the defaults of Limits when None.
        """
        super().__init__(limits or Limits())
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

        Most header blocks of a client are as long as the one before, so what is around a call is unpacked in one step,
        which saves the calls for its two frames. Calls that follow each other and have the same block are one event.
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
