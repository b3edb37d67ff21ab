"""Handle the frames that carry neither headers nor a body, the same in both roles."""

from brainctl.wire import frames
from brainctl.wire.budget import Budget
from brainctl.wire.events import Event, GoingAway
from brainctl.wire.frames import ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.role import Role
from brainctl.wire.sender import Sender
from brainctl.wire.stream_table import StreamTable

_SETTINGS_COST = 50
"""The number of control frames that SETTINGS count as: a change of the initial window touches every stream."""


class ControlFrames:
    """Takes frames of one connection. Each method has flags, stream and payload, and raises the faults that it finds:
    a StreamFault resets the stream, a ConnectionFault ends the connection.
    """

    def __init__(
        self,
        out: list[bytes | memoryview],
        events: list[Event],
        streams: StreamTable,
        sender: Sender,
        budget: Budget,
        role: Role,
    ) -> None:
        self._out = out
        self._events = events
        self._streams = streams
        self._sender = sender
        self._budget = budget
        self._role = role

    def priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Check a PRIORITY frame, which changes nothing."""
        self._budget.control()
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes")
        if frames.read_word(payload) == stream_id:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "stream depends on itself")

    def rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Take RST_STREAM."""
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes")
        if stream_id == 0 or stream_id > self._streams.last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on a stream that was never opened")
        self._budget.reset()
        self._streams.ended_by_peer(stream_id)
        if stream_id in self._streams.open:
            self._role.on_reset(stream_id, int.from_bytes(payload))

    def push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        """Refuse PUSH_PROMISE."""
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which nobody allowed")

    def settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Take and acknowledge SETTINGS."""
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS has a wrong length")
        self._budget.control(_SETTINGS_COST)
        if flags & frames.ACK:
            return
        for name, value in frames.read_settings(payload):
            self._setting(name, value)
            self._role.on_setting(name, value)
        self._out.append(frames.SETTINGS_ACK)
        self._sender.pump()

    def _setting(self, name: int, value: int) -> None:
        if name == frames.INITIAL_WINDOW_SIZE:
            if value > frames.WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "initial window is too large")
            if not self._sender.move_stream_windows(value):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "initial window overflows a stream's")
        elif name == frames.MAX_FRAME_SIZE:
            if not frames.FRAME_BYTES <= value <= frames.FRAME_BYTES_MAX:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame size is out of range")
            self._sender.frame_bytes = value
        elif name == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")

    def ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Answer a PING, or take the answer to one."""
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not 8 bytes")
        self._budget.control()
        if flags & frames.ACK:
            self._role.on_pong(payload)
        else:
            self._out.append(frames.ping(payload, ack=True))
            self._role.on_ping()

    def goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Take GOAWAY."""
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is shorter than 8 bytes")
        self._budget.control()
        last = frames.read_word(payload)
        self._events.append(GoingAway(last, int.from_bytes(payload[4:8])))
        self._role.on_goaway(last)

    def window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Extend the send window of the connection or of a stream, and send what waited for it."""
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes")
        increment = frames.read_word(payload)
        if stream_id == 0:
            if increment == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._sender.window += increment
            if self._sender.window > frames.WINDOW_MAX:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "window of the connection overflows")
            self._sender.pump()
        else:
            self._stream_window_update(stream_id, increment)

    def _stream_window_update(self, stream_id: int, increment: int) -> None:
        """Extend the send window of one stream."""
        if stream_id > self._streams.last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that was never opened")
        if increment == 0:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        if stream_id not in self._streams.open:
            self._budget.control()
            return
        stream = self._streams.stateful(stream_id)
        stream.window += increment
        if stream.window > frames.WINDOW_MAX:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "window of the stream overflows")
        self._sender.unblock(stream_id, stream)
        self._sender.pump()
