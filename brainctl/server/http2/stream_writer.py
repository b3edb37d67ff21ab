"""The two sides of a stream, between a connection and what serves it."""

from typing import Protocol

from brainctl.errors import Status
from brainctl.server.node_protocol import Node


class StreamWriter(Protocol):
    """The answering side of one stream. Everything is dropped once the stream is over."""

    def send(self, body: bytes) -> None:
        """Send a message. When the client reads too slowly, the stream's `pause` is called, possibly from in here."""

    def finish(self) -> None:
        """End with OK."""

    def fail(self, status: Status) -> None:
        """End with a status."""


class Stream(Protocol):
    """One streaming RPC in progress."""

    def message(self, body: bytes) -> None:
        """The client sent a message; BrainctlError ends the stream."""

    def half_close(self) -> None:
        """The client will send no more."""

    def pause(self) -> None:
        """The client does not read."""

    def resume(self) -> None:
        """The client reads again."""

    def close(self) -> None:
        """The stream is over; called once, however it ended."""


class QuietStream:
    """A stream that everyone may open, and that sends one small answer per message: it has nothing to hold back."""

    def __init__(self, node: Node, outlet: StreamWriter, token: str | None, common_name: str | None) -> None:
        del node, token, common_name
        self._outlet = outlet

    def half_close(self) -> None:
        """Nothing."""

    def pause(self) -> None:
        """Nothing: the connection bounds what waits."""

    def resume(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
