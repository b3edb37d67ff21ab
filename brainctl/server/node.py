"""What the edge asks of a node; brainctl.node.node.Node is one."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from brainctl.errors import BrainctlError

Reply = Callable[[bytes | BrainctlError], None]
"""Takes the marshalled response, or the error, exactly once; on the event loop."""


class WatchSession(Protocol):
    """One Watch stream."""

    def receive(self, body: bytes) -> None:
        """Serve a marshalled WatchRequest; ApiError when the stream is to be ended with it."""

    def pause(self) -> None:
        """Send no events until `resume`: the client does not read. May be called from inside `send`."""

    def resume(self) -> None:
        """The client reads again."""

    def close(self) -> None:
        """The stream has ended; nothing is sent any more."""


class Node(Protocol):
    """The RPCs of the etcd API: bytes in, bytes out. All calls are made on the event loop."""

    def call(self, method: str, body: bytes, reply: Reply) -> None:
        """Serve a unary RPC by its path."""

    def watch(self, send: Callable[[bytes], None]) -> WatchSession:
        """Open a Watch stream that answers through `send`, with marshalled WatchResponses."""

    def keep_alive(self, body: bytes, reply: Reply) -> None:
        """One exchange on a LeaseKeepAlive stream."""

    def snapshot(self) -> AsyncIterator[bytes]:
        """The marshalled SnapshotResponses of Maintenance.Snapshot; raises ApiError."""
