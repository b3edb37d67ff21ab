"""Keep the connection of a client alive, and end it in order."""

from typing import Final

from brainctl.wire import frames
from brainctl.wire.connection import Connection
from brainctl.wire.frames import ConnectionFault, ErrorCode
from brainctl.wire.keepalive import TOO_MANY_PINGS, Keepalive, Silence

_DRAIN_PING: Final = b"draining"
"""The payload of the PING whose answer shows that the client has seen the first GOAWAY."""
_KEEPALIVE_PING: Final = b"alive?\0\0"
"""The payload of the PING that a silent client is sent."""


class Upkeep:
    """The PINGs of one connection, and its draining: the client is asked to open no more streams."""

    def __init__(self, connection: Connection) -> None:
        self.draining = False
        """Whether the client has seen the shutdown, so that it opens no more streams."""
        self._connection = connection
        self._keepalive = Keepalive(connection.limits)
        self.heard = self._keepalive.heard
        self._started = False
        """Whether the client was asked to open no more streams."""

    def tick(self) -> bool:
        """Count a second; return whether there is something to send, or the connection is to be closed."""
        connection = self._connection
        connection.budget.tick()
        match self._keepalive.tick():
            case Silence.NOTHING:
                return False
            case Silence.ASK:
                connection.out.append(frames.ping(_KEEPALIVE_PING))
            case Silence.CUT:
                connection.close(ErrorCode.NO_ERROR, "the client has not answered a PING")
        return True

    def shutdown(self) -> None:
        """Ask the client to open no more streams; those that cross with this are served until it answers a PING."""
        if not self._started and not self._connection.closed:
            self._started = True
            self._connection.out += (
                frames.goaway(frames.STREAM_MASK, ErrorCode.NO_ERROR),
                frames.ping(_DRAIN_PING),
            )

    @property
    def drained(self) -> bool:
        """Return whether the client has seen the shutdown and everything is answered and handed to `take`."""
        return self.draining and not self._connection.streams.open

    def on_ping(self) -> None:
        """See `Role.on_ping`."""
        streams = self._connection.streams
        state = (streams.last, len(streams.open), self._connection.sender.spoken)
        if not self._keepalive.admits_ping(state, len(streams.open)):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, TOO_MANY_PINGS)

    def on_pong(self, payload: bytes) -> None:
        """See `Role.on_pong`."""
        if self._started and not self.draining and payload == _DRAIN_PING:
            self.draining = True
            self._connection.out.append(frames.goaway(max(self._connection.streams.last, 0), ErrorCode.NO_ERROR))
