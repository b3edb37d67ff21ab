"""Say what a connection asks of its role: that of the server, or that of the client."""

from typing import Protocol

from brainctl.wire.stream import Stream


class Role(Protocol):
    """The part of a connection that knows what streams are for."""

    def walk(self, data: bytes) -> int:
        """Handle the frames of `data`, and return where an incomplete one begins.

        The usual ones are handled in a short way, and all others are given to `Connection.on_frame`.

        Raises:
            ConnectionFault: the peer broke the protocol.
        """

    def on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """Handle a complete header block; `flags` are those of its HEADERS frame.

        Raises:
            ConnectionFault: the peer broke the protocol.
            StreamFault: it broke it on this stream alone.
        """

    def on_body(self, stream_id: int, stream: Stream, data: bytes, end: bool) -> None:
        """Handle the next bytes of a stream's body; `end` says whether they are the last.

        Raises:
            StreamFault: the peer broke the protocol on this stream.
        """

    def on_reset(self, stream_id: int, code: int) -> None:
        """Close an open stream that the peer has cancelled (RST_STREAM)."""

    def on_end(self, stream_id: int, stream: Stream) -> None:
        """Close a stream on which we have sent everything, if its role does so."""

    def on_setting(self, name: int, value: int) -> None:
        """Handle a setting of the peer, in which the connection has found no fault."""

    def on_ping(self) -> None:
        """Handle a PING, which is answered already.

        Raises:
            ConnectionFault: there are too many.
        """

    def on_pong(self, payload: bytes) -> None:
        """Handle an answer to a PING of ours."""

    def on_goaway(self, last: int) -> None:
        """End the streams above `last`, which the peer will not serve."""

    def forget(self, stream_id: int) -> Stream | None:
        """Drop the state of an open stream, and return it."""
