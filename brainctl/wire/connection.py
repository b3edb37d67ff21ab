"""Handle what both roles of an HTTP/2 connection share: frames, header blocks, windows, the end.

A connection is made of parts. The `Role` reads the bytes, and gives each frame that is not the usual one to `on_frame`;
the methods for its type append to the events that `receive` returns and to `out`, which the `Sender` empties. All parts
share these two lists and the `StreamTable`. A ConnectionFault anywhere becomes GOAWAY and a Closed event, after which
input is ignored. A StreamFault becomes RST_STREAM.
"""

from collections.abc import Callable

from brainctl.wire import frames
from brainctl.wire.budget import Budget
from brainctl.wire.control_frames import ControlFrames
from brainctl.wire.events import Closed, Event
from brainctl.wire.frames import ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.limits import Limits
from brainctl.wire.role import Role
from brainctl.wire.sender import Sender
from brainctl.wire.stream import Stream
from brainctl.wire.stream_table import StreamTable


class Connection:
    """The part that both roles have; ServerConnection and ClientConnection are made of it."""

    def __init__(self, limits: Limits, state: Callable[[int], Stream]) -> None:
        """Create a connection on which nothing was sent; `begin` gives it its role.

        Args:
            limits: bounds for the peer.
            state: makes the state of a stream that had none, with a send window in bytes.
        """
        assert limits.window_bytes >= frames.WINDOW, "a connection's window cannot be announced smaller"
        self.limits = limits
        self.out: list[bytes | memoryview] = []
        """Parts of the bytes that are to be sent, in order."""
        self.events: list[Event] = []
        """The events that `receive` will return."""
        self.streams = StreamTable(self.out, state)
        self.sender = Sender(self.out, self.events, self.streams, limits.stream_queue_bytes)
        self.budget = Budget(limits, self._progress)
        self.closed = False
        """Whether the connection has ended, so that input is ignored."""
        self.settled = False
        """Whether the peer's first SETTINGS have come."""
        self.block: bytearray | None = None
        """A header block whose CONTINUATION frames have not all come."""
        self.unacked = 0
        """Bytes of DATA that no WINDOW_UPDATE of the connection has given back."""
        self.receive_window = limits.message_bytes + frames.WINDOW
        """Window of each stream, in bytes, that our SETTINGS announce: a whole message fits, so unary calls need no
        WINDOW_UPDATE.
        """
        self._block_stream = 0
        self._block_flags = 0
        self._rest = b""
        """The bytes of a frame that is not complete."""

    def begin(self, role: Role, settings: dict[int, int]) -> None:
        """Give the connection its role, send our SETTINGS, and raise its window, which they cannot, to the limit."""
        self._role = role
        self.sender.on_end = role.on_end
        control = ControlFrames(self.out, self.events, self.streams, self.sender, self.budget, role)
        self._handlers = (
            self._on_data,
            self._on_headers,
            control.priority,
            control.rst_stream,
            control.settings,
            control.push_promise,
            control.ping,
            control.goaway,
            control.window_update,
            self._on_continuation,
        )
        """The methods by frame type."""
        self.out.append(frames.settings(settings))
        if self.limits.window_bytes > frames.WINDOW:
            self.out.append(frames.window_update(0, self.limits.window_bytes - frames.WINDOW))

    def _progress(self) -> int:
        """Return a count that each request and each message of a stream adds to."""
        return self.streams.last + self.sender.spoken

    # -- for the owner ------------------------------------------------------------------------------------------------

    def is_open(self, stream_id: int) -> bool:
        """Return whether the stream has not ended."""
        return stream_id in self.streams.open

    def paused(self, stream_id: int) -> bool:
        """Return whether the peer reads slowly, so that a producer should stop sending until a Resumed event."""
        stream = self.streams.open.get(stream_id)
        return stream is not None and stream.paused

    def reset(self, stream_id: int, code: int = ErrorCode.CANCEL) -> None:
        """Cancel a stream with RST_STREAM; nothing when it has ended."""
        if stream_id in self.streams.open:
            self._role.forget(stream_id)
            self.streams.reset(stream_id, code)

    def close(self, code: ErrorCode = ErrorCode.NO_ERROR, text: str = "") -> None:
        """End the connection and all streams at once, with GOAWAY."""
        if not self.closed:
            self.closed = True
            self.out.append(frames.goaway(max(self.streams.last, 0), code, text))
            for stream_id in tuple(self.streams.open):
                self._role.forget(stream_id)

    # -- frames and header blocks -------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Return the events that `data`, the next bytes from the peer, completes."""
        if self.closed:
            return []
        if self._rest:
            data = self._rest + data
            self._rest = b""
        events = self.events
        try:
            self._rest = data[self._role.walk(data) :]
            if self.unacked * 2 > self.limits.window_bytes:
                self._acknowledge()
        except ConnectionFault as fault:
            self.close(fault.code, str(fault))
            events.append(Closed(fault.code, str(fault)))
        completed = events[:]
        events.clear()
        return completed

    def _acknowledge(self) -> None:
        """Give the peer its connection window back, in large portions."""
        if self.unacked > self.limits.window_bytes:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the window of the connection")
        self.out.append(frames.window_update(0, self.unacked))
        self.unacked = 0

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Check that a frame may come now, and pass it to the method for its type."""
        if not self.settled:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self.settled = True
        if self.block is not None and (kind != frames.CONTINUATION or stream_id != self._block_stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "header block is interrupted")
        if kind >= len(self._handlers):
            self.budget.control()
            return
        try:
            self._handlers[kind](flags, stream_id, payload)
        except StreamFault as fault:
            self.on_stream_fault(stream_id, fault)

    def on_stream_fault(self, stream_id: int, fault: StreamFault) -> None:
        """Reset a stream on which the peer broke the protocol, and notify the owner when it is in use."""
        self.budget.reset()
        if stream_id in self.streams.open:
            self._role.on_reset(stream_id, fault.code)
        self.streams.reset(stream_id, fault.code)

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
            self._role.on_block(stream_id, flags, payload)
        else:
            self.block = bytearray(payload)
            self._block_stream = stream_id
            self._block_flags = flags
        if fault is not None:
            raise fault

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Take in a CONTINUATION frame, and pass the header block on when it is complete."""
        if self.block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self.budget.control()
        self.block += payload
        if len(self.block) > self.limits.header_list_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header block is too large")
        if flags & frames.END_HEADERS:
            block = bytes(self.block)
            self.block = None
            self._role.on_block(stream_id, self._block_flags, block)

    # -- bodies -------------------------------------------------------------------------------------------------------

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Check DATA against the windows, and pass it to the role when its stream is open for it."""
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0")
        self.unacked += len(payload)
        if self.unacked > self.limits.window_bytes:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the window of the connection")
        stream = self.streams.open.get(stream_id)
        if stream is None or not stream.remote_open:
            self.on_late_frame(stream_id)
            return
        stream.unacked += len(payload)
        if stream.unacked > self.receive_window:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the window of the stream")
        if not payload and not flags & frames.END_STREAM:
            self.budget.control()
        end = bool(flags & frames.END_STREAM)
        self._role.on_body(stream_id, stream, frames.unpad(payload, flags), end)
        if not end and stream_id in self.streams.open and stream.unacked * 2 > self.receive_window:
            self.out.append(frames.window_update(stream_id, stream.unacked))
            stream.unacked = 0

    def on_late_frame(self, stream_id: int) -> None:
        """Skip a frame on a stream that is not open for it, when it crossed with our RST_STREAM; refuse any other.

        Raises:
            ConnectionFault: the stream was never opened.
            StreamFault: the stream is closed, and not by us.
        """
        if stream_id > self.streams.last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frame on a stream that was never opened")
        if self.streams.was_reset(stream_id):
            self.budget.control()
            return
        raise StreamFault(ErrorCode.STREAM_CLOSED, "frame on a closed stream")
