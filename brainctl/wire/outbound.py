"""Send what a connection has to send now, and queue what waits for the peer's windows.

`_streams` holds the open streams. None stands for a unary call that came complete and has had no answer and no window
change: such a call has no other state, and most calls never have; this saves making a Stream for each. Its send window
is the peer's initial window.

Body bytes are sent by `_send_data`, which emits as many as both windows allow and queues the rest on the stream. A
stream that waits for the connection's window is in `_waiting`, and `_pump` serves those in turns when the window opens;
one that waits for its own window is in no list, and its WINDOW_UPDATE finds it. So a window that the peer opens costs
work only for the bytes that it lets through, however many streams wait.
"""

from collections import OrderedDict
from typing import Final

from brainctl.wire import frames
from brainctl.wire.events import Event, Resumed
from brainctl.wire.frames import FRAME_HEADER, ErrorCode
from brainctl.wire.limits import Limits
from brainctl.wire.stream import Stream

_QUANTUM: Final = 1 << 16
"""Bytes that one stream may send before the next waiting one has its turn."""
_REMEMBERED: Final = 256
"""Streams that we reset and whose late frames are still recognised."""


class Outbound:
    """The sending layer of Connection."""

    def __init__(self, limits: Limits) -> None:
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

    def _ended(self, stream_id: int, stream: Stream) -> None:
        """Handle that our side of the stream has ended."""
        raise NotImplementedError

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
