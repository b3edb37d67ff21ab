"""Handle frames without a body (settings, windows, resets, pings), and limit how many of them a peer may send."""

from brainctl.wire import frames
from brainctl.wire.events import GoingAway
from brainctl.wire.frames import ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.limits import Limits
from brainctl.wire.outbound import Outbound

_SETTINGS_COST = 50
"""The number of control frames that SETTINGS count as: a change of the initial window touches every stream."""


class Control(Outbound):
    """The layer of Connection for frames without a body."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        assert limits.window_bytes >= frames.WINDOW, "a connection's window cannot be announced smaller"
        self._last = -1
        """The last stream that the client opened."""
        self._unacked = 0
        """Bytes of DATA that no WINDOW_UPDATE of the connection has given back."""
        self._controls_left = limits.control_frames
        self._earned_until = 0
        self._resets_left = limits.resets

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

    # -- frames in ----------------------------------------------------------------------------------------------------

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
        """Handle that the peer cancelled an open stream."""
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
        """Handle an answer to a PING of ours; nothing by default."""

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
