"""Keep the streams of one connection: those that are open, and those that were reset lately.

`open` has the streams by number. None stands for a unary call that came complete and has had no answer and no window
change: such a call has no other state, and most calls never have; this saves making a Stream for each, 0.48 us of the 5
that a call of an empty handler takes here. Its send window is the peer's initial window.
"""

from collections.abc import Callable
from typing import Final

from brainctl.wire import frames
from brainctl.wire.stream import Stream

_REMEMBERED: Final = 256
"""Streams that we reset and whose late frames are still recognised."""


class StreamTable:
    """The streams of one connection."""

    def __init__(self, out: list[bytes | memoryview], state: Callable[[int], Stream]) -> None:
        """Create a table without streams.

        Args:
            out: what is to be sent.
            state: makes the state of a stream that had none, with a send window in bytes.
        """
        self.open: dict[int, Stream | None] = {}
        self.last = -1
        """The last stream that the client opened."""
        self.initial_window = frames.WINDOW
        """The send window of a new stream, in bytes."""
        self._out = out
        self._state = state
        self._reset: dict[int, None] = {}

    def stateful(self, stream_id: int) -> Stream:
        """Return the state of an open stream, made for one that had none."""
        stream = self.open[stream_id]
        if stream is None:
            stream = self.open[stream_id] = self._state(self.initial_window)
        return stream

    def reset(self, stream_id: int, code: int) -> None:
        """Send RST_STREAM, and remember the stream for a while, since frames of it may be on their way."""
        if len(self._reset) >= _REMEMBERED:
            del self._reset[next(iter(self._reset))]
        self._reset[stream_id] = None
        self._out.append(frames.rst_stream(stream_id, code))

    def was_reset(self, stream_id: int) -> bool:
        """Return whether we reset the stream lately, so that frames of it may still come."""
        return stream_id in self._reset

    def ended_by_peer(self, stream_id: int) -> None:
        """Expect no more frames of a stream that we reset, since the peer has reset it as well."""
        self._reset.pop(stream_id, None)
