"""Define the two sides of a stream, between a connection and what serves it."""

from collections.abc import Callable
from typing import Protocol

from brainctl.errors import Status
from brainctl.server.node_protocol import Node


class StreamWriter(Protocol):
    """The answering side of one stream. Everything is dropped once the stream has ended."""

    def send(self, body: bytes) -> None:
        """Send a message. When the client reads too slowly, the stream's `pause` is called, possibly from in here."""

    def finish(self) -> None:
        """End the stream with OK."""

    def fail(self, status: Status) -> None:
        """End the stream with a status."""


class Stream(Protocol):
    """One streaming RPC in progress."""

    def message(self, body: bytes) -> None:
        """Handle a message of the client.

        Raises:
            BrainctlError: the stream is to end with it.
        """

    def half_close(self) -> None:
        """Handle that the client will send no more."""

    def pause(self) -> None:
        """Stop sending: the client does not read."""

    def resume(self) -> None:
        """Send again: the client reads."""

    def close(self) -> None:
        """Release what the stream holds, since it has ended; called once, however it ended."""


class QuietStream:
    """A stream that everyone may open, and that sends one small answer per message: it has nothing to hold back."""

    def __init__(
        self,
        answer: Callable[[bytes, StreamWriter], None],
        node: Node,
        outlet: StreamWriter,
        token: str | None,
        common_name: str | None,
    ) -> None:
        """Create the stream; `answer` is called with each message and with where the answer goes."""
        del node, token, common_name
        self._answer = answer
        self._outlet = outlet

    def message(self, body: bytes) -> None:
        """Answer a message."""
        self._answer(body, self._outlet)

    def half_close(self) -> None:
        """Do nothing."""

    def pause(self) -> None:
        """Do nothing: the connection bounds what waits."""

    def resume(self) -> None:
        """Do nothing, as for `pause`."""

    def close(self) -> None:
        """Do nothing: the stream holds nothing."""
