"""Handle what both roles of an HTTP/2 connection share: frames, settings, flow control, the end.

`receive` cuts the bytes into frames, keeps an incomplete last one, and gives each frame to the method for its type;
those append to the events that `receive` returns and to `_out`, which `take` empties. A ConnectionFault anywhere
becomes GOAWAY and a Closed event, after which input is ignored. A StreamFault becomes RST_STREAM.

`_streams` holds the open streams. None stands for a unary call that came complete and has had no answer and no window
change: such a call has no other state, and most calls never have; this saves making a Stream for each, 0.48 us of
the 5 that a call of an empty handler takes here. Its send window is the peer's initial window.

Body bytes are sent by `_send_data`, which emits as many as both windows allow and queues the rest on the stream. A
stream that waits for the connection's window is in `_waiting`, and `_pump` serves those in turns when the window opens;
one that waits for its own window is in no list, and its WINDOW_UPDATE finds it. So a window that the peer opens costs
work only for the bytes that it lets through, however many streams wait.

It is one class in one file because its parts share their state: the windows, the streams and the bytes to be sent are
changed by nearly every frame. The roles add what is theirs at the methods of the last section.
"""

from collections import OrderedDict
from typing import Final

from brainctl.wire import frames
from brainctl.wire.events import Closed, Event, GoingAway, Resumed
from brainctl.wire.frames import FRAME_HEADER, ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.limits import Limits
from brainctl.wire.stream import Stream

_QUANTUM: Final = 1 << 16
"""Bytes that one stream may send before the next waiting one has its turn."""
_REMEMBERED: Final = 256
"""Streams that we reset and whose late frames are still recognised."""
_SETTINGS_COST = 50
"""The number of control frames that SETTINGS count as: a change of the initial window touches every stream."""


class Connection:
    """The part that both roles have; use ServerConnection or ClientConnection."""

    def __init__(self, limits: Limits) -> None:
        """Create a connection on which nothing was sent."""
        self.limits = limits
        self.queued_bytes = 0
        """Bytes that wait for the peer's flow control, over all streams."""
        self._out: list[bytes | memoryview] = []
        self._events: list[Event] = []
        self._streams: dict[int, Stream | None] = {}
        self._waiting: OrderedDict[int, Stream] = OrderedDict()
        self._reset_by_us: dict[int, None] = {}
        self._window = frames.WINDOW
        self._stream_window = frames.WINDOW
        self._frame_bytes = frames.FRAME_BYTES
        self._spoken = 0
        """Number of times that body bytes were sent, apart from unary answers that were sent at once."""
        assert limits.window_bytes >= frames.WINDOW, "a connection's window cannot be announced smaller"
        self._last = -1
        """The last stream that the client opened."""
        self._unacked = 0
        """Bytes of DATA that no WINDOW_UPDATE of the connection has given back."""
        self._controls_left = limits.control_frames
        self._earned_until = 0
        self._resets_left = limits.resets
        self.closed = False
        """Whether the connection has ended, so that input is ignored."""
        self._rest = b""
        """The bytes of a frame that is not complete."""
        self._settled = False
        """Whether the peer's first SETTINGS have come."""
        self._block: bytearray | None = None
        """A header block whose CONTINUATION frames have not all come."""
        self._block_stream = 0
        self._block_flags = 0
        self._handlers = (
            self._on_data,
            self._on_headers,
            self._on_priority,
            self._on_rst_stream,
            self._on_settings,
            self._on_push_promise,
            self._on_ping,
            self._on_goaway,
            self._on_window_update,
            self._on_continuation,
        )
        """The methods by frame type."""

    def _greet(self, settings: dict[int, int]) -> None:
        """Send our SETTINGS, and raise the window of the connection, which they cannot, to that of the limits."""
        self._out.append(frames.settings(settings))
        if self.limits.window_bytes > frames.WINDOW:
            self._out.append(frames.window_update(0, self.limits.window_bytes - frames.WINDOW))

    # -- for the owner ------------------------------------------------------------------------------------------------

    @property
    def open_streams(self) -> int:
        """Return the number of streams that have not ended."""
        return len(self._streams)

    def is_open(self, stream_id: int) -> bool:
        """Return whether the stream has not ended."""
        return stream_id in self._streams

    def take(self) -> bytes:
        """Return everything that is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def paused(self, stream_id: int) -> bool:
        """Return whether the peer reads slowly, so that a producer should stop sending until a Resumed event."""
        stream = self._streams.get(stream_id)
        return stream is not None and stream.paused

    def reset(self, stream_id: int, code: int = ErrorCode.CANCEL) -> None:
        """Cancel a stream with RST_STREAM; nothing when it has ended."""
        if stream_id in self._streams:
            self._forget(stream_id)
            self._reset(stream_id, code)

    def close(self, code: ErrorCode = ErrorCode.NO_ERROR, text: str = "") -> None:
        """End the connection and all streams at once, with GOAWAY."""
        if not self.closed:
            self.closed = True
            self._out.append(frames.goaway(max(self._last, 0), code, text))
            for stream_id in tuple(self._streams):
                self._forget(stream_id)

    # -- bodies -------------------------------------------------------------------------------------------------------

    def _stateful(self, stream_id: int) -> Stream:
        """Return the state of an open stream, made for one that had none."""
        stream = self._streams[stream_id]
        if stream is None:
            stream = Stream(self._stream_window)
            stream.remote_open = False
            stream.requested = True
            self._streams[stream_id] = stream
        return stream

    def _send_data(self, stream_id: int, stream: Stream, *parts: bytes) -> None:
        """Send or queue body bytes; nothing once the end has been decided."""
        if stream.closing is not None:
            return
        for part in parts:
            if part:
                stream.queue.append(memoryview(part))
                stream.queued += len(part)
                self.queued_bytes += len(part)
        if stream_id not in self._waiting:
            self._emit(stream_id, stream, frames.WINDOW_MAX)
            self._unblock(stream_id, stream)
        if stream.queued > self.limits.stream_queue_bytes:
            stream.paused = True

    def _end_data(self, stream_id: int, stream: Stream, trailers: bytes) -> None:
        """End our side once everything queued is sent.

        Args:
            stream_id: of the stream.
            stream: its state.
            trailers: a header block, which must not use the dynamic table when something is queued, since blocks of
                other streams may be sent before it; b"" ends without trailers.
        """
        if stream.closing is None:
            stream.closing = trailers
            if not stream.queued:
                self._end_now(stream_id, stream, trailers)

    def _end_now(self, stream_id: int, stream: Stream, trailers: bytes) -> None:
        if trailers:
            self._send_block(stream_id, trailers, end_stream=True)
        else:
            self._out.append(frames.frame(frames.DATA, frames.END_STREAM, stream_id))
        self._ended(stream_id, stream)

    def _send_block(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        self._out.append(frames.headers(stream_id, block, end_stream=end_stream, frame_bytes=self._frame_bytes))

    def _emit(self, stream_id: int, stream: Stream, budget: int) -> None:
        """Send up to `budget` queued bytes as far as the windows allow."""
        allowed = min(budget, self._window, stream.window)
        self._spoken += allowed > 0
        out = self._out
        while stream.queue and allowed > 0:
            size = min(stream.queued, allowed, self._frame_bytes)
            out.append(FRAME_HEADER.pack(size << 8 | frames.DATA, 0, stream_id))
            self._window -= size
            stream.window -= size
            stream.queued -= size
            self.queued_bytes -= size
            allowed -= size
            while size:
                part = stream.queue[0]
                if len(part) > size:
                    out.append(part[:size])
                    stream.queue[0] = part[size:]
                    break
                out.append(part)
                size -= len(part)
                stream.queue.popleft()

    def _pump(self) -> None:
        """Send what waits for the connection's window, in turns."""
        while self._window > 0 and self._waiting:
            stream_id, stream = self._waiting.popitem(last=False)
            self._emit(stream_id, stream, _QUANTUM)
            self._after_emit(stream_id, stream)

    def _unblock(self, stream_id: int, stream: Stream) -> None:
        """Let a stream have its turn, if it has bytes queued and its own window is open."""
        if stream.queued and stream.window > 0:
            self._waiting[stream_id] = stream

    def _after_emit(self, stream_id: int, stream: Stream) -> None:
        self._unblock(stream_id, stream)
        if stream.closing is not None:
            if not stream.queued:
                self._end_now(stream_id, stream, stream.closing)
        elif stream.paused and stream.queued * 2 <= self.limits.stream_queue_bytes:
            stream.paused = False
            self._events.append(Resumed(stream_id))

    def _move_stream_windows(self, initial: int) -> bool:
        """Change the send window of every stream with the peer's initial window; return whether none overflows."""
        change = initial - self._stream_window
        self._stream_window = initial
        for stream_id, stream in self._streams.items():
            if stream is not None:
                stream.window += change
                self._unblock(stream_id, stream)
                if stream.window > frames.WINDOW_MAX:
                    return False
        return True

    # -- the end of streams -------------------------------------------------------------------------------------------

    def _forget(self, stream_id: int) -> Stream | None:
        """Drop the state of an open stream, and return it."""
        stream = self._streams.pop(stream_id)
        if stream is not None:
            self._waiting.pop(stream_id, None)
            self.queued_bytes -= stream.queued
        return stream

    def _reset(self, stream_id: int, code: int) -> None:
        if len(self._reset_by_us) >= _REMEMBERED:
            del self._reset_by_us[next(iter(self._reset_by_us))]
        self._reset_by_us[stream_id] = None
        self._out.append(frames.rst_stream(stream_id, code))

    def tick(self) -> bool:
        """Grant the peer the next portion of what is limited per tick, and return whether there is something to send.

        To be called about once a second.
        """
        self._controls_left = self.limits.control_frames
        self._earned_until = self._last + self._spoken
        self._resets_left = self.limits.resets
        return False

    # -- what a peer may send -----------------------------------------------------------------------------------------

    def _count_control(self, cost: int = 1) -> None:
        """Count frames without a request against the limit, to which answers add.

        Raises:
            ConnectionFault: there are too many (ENHANCE_YOUR_CALM).
        """
        self._controls_left -= cost
        if self._controls_left < 0:
            # Clients that measure the bandwidth (grpc-go) send a PING for nearly every answer: answers earn frames.
            earned = self._last + self._spoken
            self._controls_left += earned - self._earned_until
            self._earned_until = earned
        if self._controls_left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames")

    def _count_reset(self) -> None:
        """Count a stream that was reset against the limit.

        Raises:
            ConnectionFault: there are too many (ENHANCE_YOUR_CALM).
        """
        self._resets_left -= 1
        if self._resets_left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")

    # -- frames without a body ----------------------------------------------------------------------------------------

    def _on_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        self._count_control()
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes")
        if frames.read_word(payload) == stream_id:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")

    def _on_rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes")
        if stream_id == 0 or stream_id > self._last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on a stream that was never opened")
        self._count_reset()
        self._reset_by_us.pop(stream_id, None)
        if stream_id in self._streams:
            self._on_reset(stream_id, int.from_bytes(payload))

    def _on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which nobody allowed")

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS has a wrong length")
        self._count_control(_SETTINGS_COST)
        if flags & frames.ACK:
            return
        for name, value in frames.read_settings(payload):
            self._on_setting(name, value)
        self._out.append(frames.SETTINGS_ACK)
        self._pump()

    def _on_setting(self, name: int, value: int) -> None:
        if name == frames.INITIAL_WINDOW_SIZE:
            if value > frames.WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "initial window is too large")
            if not self._move_stream_windows(value):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "initial window overflows a stream's")
        elif name == frames.MAX_FRAME_SIZE:
            if not frames.FRAME_BYTES <= value <= frames.FRAME_BYTES_MAX:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame size is out of range")
            self._frame_bytes = value
        elif name == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not 8 bytes")
        self._count_control()
        if flags & frames.ACK:
            self._on_pong(payload)
        else:
            self._out.append(frames.ping(payload, ack=True))

    def _on_goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is shorter than 8 bytes")
        self._count_control()
        self._events.append(GoingAway(frames.read_word(payload), int.from_bytes(payload[4:8])))

    # -- flow control -------------------------------------------------------------------------------------------------

    @property
    def _receive_window(self) -> int:
        """Return the window of each stream, in bytes, that our SETTINGS announce: a whole message fits, so unary calls
        need no WINDOW_UPDATE.
        """
        return self.limits.message_bytes + frames.WINDOW

    def _acknowledge(self) -> None:
        """Give the peer its connection window back, in large portions."""
        if self._unacked * 2 > self.limits.window_bytes:
            if self._unacked > self.limits.window_bytes:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the window of the connection")
            self._out.append(frames.window_update(0, self._unacked))
            self._unacked = 0

    def _on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes")
        increment = frames.read_word(payload)
        if stream_id == 0:
            if increment == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._window += increment
            if self._window > frames.WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "window of the connection overflows")
            self._pump()
        else:
            self._on_stream_window_update(stream_id, increment)

    def _on_stream_window_update(self, stream_id: int, increment: int) -> None:
        """Extend the send window of one stream."""
        if stream_id > self._last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that was never opened")
        if increment == 0:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        if stream_id not in self._streams:
            self._count_control()
            return
        stream = self._stateful(stream_id)
        stream.window += increment
        if stream.window > frames.WINDOW_MAX:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "window of the stream overflows")
        self._unblock(stream_id, stream)
        self._pump()

    # -- frames and header blocks -------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Return the events that `data`, the next bytes from the peer, completes."""
        if self.closed:
            return []
        if self._rest:
            data = self._rest + data
            self._rest = b""
        events: list[Event] = []
        self._events = events
        try:
            self._walk(data, 0)
            self._acknowledge()
        except ConnectionFault as fault:
            self.close(fault.code, str(fault))
            events.append(Closed(fault.code, str(fault)))
        return events

    def _walk(self, data: bytes, at: int) -> None:
        """Handle the frames of `data` from `at`, and keep an incomplete one.

        Raises:
            ConnectionFault: the peer broke the protocol.
        """
        size = len(data)
        while size - at >= frames.HEADER_BYTES:
            word, flags, stream_id = FRAME_HEADER.unpack_from(data, at)
            if word >> 8 > frames.FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "frame is larger than the limit")
            end = at + frames.HEADER_BYTES + (word >> 8)
            if end > size:
                break
            self._on_frame(word & 0xFF, flags, stream_id & frames.STREAM_MASK, data[at + frames.HEADER_BYTES : end])
            at = end
        self._rest = data[at:]

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Check that a frame may come now, and pass it to the method for its type."""
        if not self._settled:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._settled = True
        if self._block is not None and (kind != frames.CONTINUATION or stream_id != self._block_stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "header block is interrupted")
        if kind >= len(self._handlers):
            self._count_control()
            return
        try:
            self._handlers[kind](flags, stream_id, payload)
        except StreamFault as fault:
            self._on_stream_fault(stream_id, fault)

    def _on_stream_fault(self, stream_id: int, fault: StreamFault) -> None:
        """Reset a stream on which the peer broke the protocol, and notify the owner when it is in use."""
        self._count_reset()
        if stream_id in self._streams:
            self._on_reset(stream_id, fault.code)
        self._reset(stream_id, fault.code)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Take in a HEADERS frame, and pass its header block on when it is complete."""
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        payload = frames.unpad(payload, flags)
        fault = None
        if flags & frames.PRIORITISED:
            if len(payload) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS is too short for its priority")
            if frames.read_word(payload) == stream_id:
                fault = StreamFault(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, flags, payload)
        else:
            self._block = bytearray(payload)
            self._block_stream = stream_id
            self._block_flags = flags
        if fault is not None:
            raise fault

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Take in a CONTINUATION frame, and pass the header block on when it is complete."""
        if self._block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._count_control()
        self._block += payload
        if len(self._block) > self.limits.header_list_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header block is too large")
        if flags & frames.END_HEADERS:
            block = bytes(self._block)
            self._block = None
            self._on_block(stream_id, self._block_flags, block)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Check DATA against the windows, and pass it to `_on_body` when its stream is open for it."""
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0")
        self._unacked += len(payload)
        if self._unacked > self.limits.window_bytes:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the window of the connection")
        stream = self._streams.get(stream_id)
        if stream is None or not stream.remote_open:
            self._on_late_frame(stream_id)
            return
        stream.unacked += len(payload)
        if stream.unacked > self._receive_window:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the window of the stream")
        if not payload and not flags & frames.END_STREAM:
            self._count_control()
        end = bool(flags & frames.END_STREAM)
        self._on_body(stream_id, stream, frames.unpad(payload, flags), end)
        if not end and stream_id in self._streams and stream.unacked * 2 > self._receive_window:
            self._out.append(frames.window_update(stream_id, stream.unacked))
            stream.unacked = 0

    def _on_late_frame(self, stream_id: int) -> None:
        """Skip a frame on a stream that is not open for it, when it crossed with our RST_STREAM; refuse any other.

        Raises:
            ConnectionFault: the stream was never opened.
            StreamFault: the stream is closed, and not by us.
        """
        if stream_id > self._last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame on a stream that was never opened")
        if stream_id in self._reset_by_us:
            self._count_control()
            return
        raise StreamFault(ErrorCode.STREAM_CLOSED, "frame on a closed stream")

    # -- what a role adds ---------------------------------------------------------------------------------------------

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """Handle a complete header block; `flags` are those of its HEADERS frame."""
        raise NotImplementedError

    def _on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        """Handle the next bytes of a stream's body."""
        raise NotImplementedError

    def _on_reset(self, stream_id: int, code: int) -> None:
        """Close a stream that the peer has cancelled (RST_STREAM)."""
        raise NotImplementedError

    def _ended(self, stream_id: int, stream: Stream) -> None:
        """Handle that our side of the stream has ended."""
        raise NotImplementedError

    def _on_pong(self, payload: bytes) -> None:
        """Handle an answer to a PING of ours; nothing by default."""
