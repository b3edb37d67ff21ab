"""Handle what both roles of an HTTP/2 connection share: frames, settings, flow control, the end.

`receive` cuts the bytes into frames, keeps an incomplete last one, and gives each frame to the method for its type;
those append to the events that `receive` returns and to `_out`, which `take` empties. A ConnectionFault anywhere
becomes GOAWAY and a Closed event, after which input is ignored. A StreamFault becomes RST_STREAM. `control` describes
what frames without a body do, and `outbound` how bytes are sent.
"""

from brainctl.wire import frames
from brainctl.wire.control import Control
from brainctl.wire.events import Closed, Event
from brainctl.wire.frames import FRAME_HEADER, ConnectionFault, ErrorCode, StreamFault
from brainctl.wire.limits import Limits
from brainctl.wire.stream import Stream


class Connection(Control):
    """The common part; use ServerConnection or ClientConnection."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
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

    def close(self, code: ErrorCode = ErrorCode.NO_ERROR, text: str = "") -> None:
        """End the connection and all streams at once, with GOAWAY."""
        if not self.closed:
            self.closed = True
            self._out.append(frames.goaway(max(self._last, 0), code, text))
            for stream_id in tuple(self._streams):
                self._forget(stream_id)

    # -- frames in ----------------------------------------------------------------------------------------------------

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

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """Handle a complete header block; `flags` are those of its HEADERS frame."""
        raise NotImplementedError

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

    def _on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        """Handle the next bytes of a stream's body."""
        raise NotImplementedError

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
