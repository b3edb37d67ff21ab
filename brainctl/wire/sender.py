"""Send bodies as far as the peer's windows allow.

A body is sent as far as both windows allow, and the rest is queued on its stream. A stream that waits for the
connection's window is in `waiting`, and `pump` serves those in turns when the window opens; one that waits for its own
window is in no list, and its WINDOW_UPDATE finds it. So a window that the peer opens costs work only for the bytes that
it lets through, however many streams wait.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from brainctl.wire import frames
from brainctl.wire.events import Event, Resumed
from brainctl.wire.frames import FRAME_HEADER
from brainctl.wire.stream import Stream
from brainctl.wire.stream_table import StreamTable

_QUANTUM: Final = 1 << 16
"""Bytes that one stream may send before the next waiting one has its turn."""


class Sender:
    """Bytes that one connection has to send, and the windows of its peer."""

    on_end: Callable[[int, Stream], None]
    """Called when our side of a stream has ended."""

    def __init__(
        self, out: list[bytes | memoryview], events: list[Event], streams: StreamTable, stream_queue_bytes: int
    ) -> None:
        """Create a sender with the windows that a peer has before its first SETTINGS.

        Args:
            out: takes what is to be sent.
            events: takes a Resumed event for each stream whose producer may go on.
            streams: the streams of the connection.
            stream_queue_bytes: bytes that may wait on a stream before its producer should stop.
        """
        self.queued_bytes = 0
        """Bytes that wait for the peer's flow control, over all streams."""
        self.window = frames.WINDOW
        """Bytes that the window of the connection lets us send."""
        self.frame_bytes = frames.FRAME_BYTES
        """Bytes of the largest frame that the peer takes."""
        self.spoken = 0
        """Number of times that body bytes were sent, apart from unary answers that were sent at once."""
        self.prefix = b""
        """Beginning of the next header block: a change of the size of the peer's HPACK table."""
        self.waiting: OrderedDict[int, Stream] = OrderedDict()
        """The streams that wait for the window of the connection, by their turns."""
        self._out = out
        self._events = events
        self._streams = streams
        self._stream_queue_bytes = stream_queue_bytes

    def take(self) -> bytes:
        """Return everything that is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def block(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        """Send a header block."""
        if self.prefix:
            block = self.prefix + block
            self.prefix = b""
        self._out.append(frames.headers(stream_id, block, end_stream=end_stream, frame_bytes=self.frame_bytes))

    def data(self, stream_id: int, stream: Stream, *parts: bytes) -> None:
        """Send or queue body bytes; nothing once the end has been decided."""
        if stream.closing is not None:
            return
        for part in parts:
            if part:
                stream.queue.append(memoryview(part))
                stream.queued += len(part)
                self.queued_bytes += len(part)
        if stream_id not in self.waiting:
            self._emit(stream_id, stream, frames.WINDOW_MAX)
            self.unblock(stream_id, stream)
        if stream.queued > self._stream_queue_bytes:
            stream.paused = True

    def end(self, stream_id: int, stream: Stream, trailers: bytes) -> None:
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
            self.block(stream_id, trailers, end_stream=True)
        else:
            self._out.append(frames.frame(frames.DATA, frames.END_STREAM, stream_id))
        self.on_end(stream_id, stream)

    def _emit(self, stream_id: int, stream: Stream, budget: int) -> None:
        """Send up to `budget` queued bytes as far as the windows allow."""
        allowed = min(budget, self.window, stream.window)
        self.spoken += allowed > 0
        out = self._out
        while stream.queue and allowed > 0:
            size = min(stream.queued, allowed, self.frame_bytes)
            out.append(FRAME_HEADER.pack(size << 8 | frames.DATA, 0, stream_id))
            self.window -= size
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

    def pump(self) -> None:
        """Send what waits for the connection's window, in turns."""
        while self.window > 0 and self.waiting:
            stream_id, stream = self.waiting.popitem(last=False)
            self._emit(stream_id, stream, _QUANTUM)
            self._after_emit(stream_id, stream)

    def unblock(self, stream_id: int, stream: Stream) -> None:
        """Let a stream have its turn, if it has bytes queued and its own window is open."""
        if stream.queued and stream.window > 0:
            self.waiting[stream_id] = stream

    def _after_emit(self, stream_id: int, stream: Stream) -> None:
        self.unblock(stream_id, stream)
        if stream.closing is not None:
            if not stream.queued:
                self._end_now(stream_id, stream, stream.closing)
        elif stream.paused and stream.queued * 2 <= self._stream_queue_bytes:
            stream.paused = False
            self._events.append(Resumed(stream_id))

    def move_stream_windows(self, initial: int) -> bool:
        """Change the send window of every stream with the peer's initial window; return whether none overflows."""
        change = initial - self._streams.initial_window
        self._streams.initial_window = initial
        for stream_id, stream in self._streams.open.items():
            if stream is not None:
                stream.window += change
                self.unblock(stream_id, stream)
                if stream.window > frames.WINDOW_MAX:
                    return False
        return True

    def forget(self, stream_id: int) -> Stream | None:
        """Drop the state of an open stream with what it has queued, and return it."""
        stream = self._streams.open.pop(stream_id)
        if stream is not None:
            self.waiting.pop(stream_id, None)
            self.queued_bytes -= stream.queued
        return stream
