"""What both roles of an HTTP/2 connection share: frames, settings, flow control, the end.

Theory of operation. `receive` cuts the bytes into frames, keeps an incomplete last one, and gives each frame to the
method for its type; those append to the events that `receive` returns and to `_out`, which `take` empties. A
ConnectionFault anywhere becomes GOAWAY and a Closed event, after which input is ignored. A StreamFault becomes
RST_STREAM. What leaves is the other half, Outbound.
"""

from brainctl.wire import frames
from brainctl.wire.events import Closed, Event, GoingAway
from brainctl.wire.frames import FRAME_HEADER, ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.limits import Limits
from brainctl.wire.outbound import Outbound
from brainctl.wire.stream import Stream

_SETTINGS_COST = 50
"""SETTINGS in control frames: a change of the initial window touches every stream."""


class Connection(Outbound):
    """The common part; use ServerConnection or ClientConnection."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        assert limits.window_bytes >= frames.WINDOW, "a connection's window cannot be announced smaller"
        self.closed = False
        """Input is ignored from now on."""
        self._rest = b""
        self._settled = False
        self._last = -1
        self._unacked = 0
        self._block: bytearray | None = None
        self._block_stream = 0
        self._block_flags = 0
        self._controls_left = limits.control_frames
        self._earned_until = 0
        self._resets_left = limits.resets
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

    def _greet(self, settings: dict[int, int]) -> None:
        """Send our SETTINGS, and raise the window of the connection, which they cannot, to that of the limits."""
        self._out.append(frames.settings(settings))
        if self.limits.window_bytes > frames.WINDOW:
            self._out.append(frames.window_update(0, self.limits.window_bytes - frames.WINDOW))

    # -- for the owner ------------------------------------------------------------------------------------------------

    def tick(self) -> bool:
        """Grant the peer the next portion of what is limited per tick; to be called about once a second. Gives whether
        there is something to send.
        """
        self._controls_left = self.limits.control_frames
        self._earned_until = self._last + self._spoken
        self._resets_left = self.limits.resets
        return False

    def close(self, code: ErrorCode = ErrorCode.NO_ERROR, text: str = "") -> None:
        """End the connection at once: GOAWAY, and all streams are over."""
        if not self.closed:
            self.closed = True
            self._out.append(frames.goaway(max(self._last, 0), code, text))
            for stream_id in tuple(self._streams):
                self._forget(stream_id)

    # -- frames in ----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """The events that `data`, the next bytes from the peer, completes."""
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
        """Handle the frames of `data` from `at`, and keep an incomplete one."""
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
        """The peer broke the rules on a stream: drop it, and tell the owner when it is in use."""
        self._count_reset()
        if stream_id in self._streams:
            self._on_reset(stream_id, fault.code)
        self._reset(stream_id, fault.code)

    def _count_control(self, cost: int = 1) -> None:
        self._controls_left -= cost
        if self._controls_left < 0:
            # Clients that measure the bandwidth (grpc-go) send a PING for nearly every answer: answers earn frames.
            earned = self._last + self._spoken
            self._controls_left += earned - self._earned_until
            self._earned_until = earned
        if self._controls_left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames")

    def _count_reset(self) -> None:
        self._resets_left -= 1
        if self._resets_left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
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

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """A whole header block; `flags` are those of its HEADERS frame."""
        raise NotImplementedError

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """DATA of a stream that is open for it goes to `_on_body`."""
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

    def _on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        """The next bytes of a stream's body."""
        raise NotImplementedError

    def _on_late_frame(self, stream_id: int) -> None:
        """A frame on a stream that is not open for it: in order only when it crossed with our RST_STREAM."""
        if stream_id > self._last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame on a stream that was never opened")
        if stream_id in self._reset_by_us:
            self._count_control()
            return
        raise StreamFault(ErrorCode.STREAM_CLOSED, "frame on a closed stream")

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

    def _on_reset(self, stream_id: int, code: int) -> None:
        """The peer gave an open stream up."""
        raise NotImplementedError

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

    def _on_pong(self, payload: bytes) -> None:
        """An answer to a PING of ours."""

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
        """The window of each stream that our SETTINGS announce: a whole message fits, so unary calls need no update."""
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
