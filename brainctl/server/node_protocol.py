"""What the edge asks of a node; brainctl.node.node.Node is one."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from brainctl.errors import BrainctlError
from brainctl.node.backend import Replies, Reply
from brainctl.node.jobs.scrubber import Scrubber
from brainctl.node.local.write_stages import Stages
from brainctl.node.metrics import NodeMetrics
from brainctl.node.services.kv.service import PUT

__all__ = ["PUT", "Node", "Replies", "Reply", "WatchSession"]


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

    @property
    def stages(self) -> Stages:
        """Where the time of writes went; whoever reads a connection says so there."""

    def figures(self) -> NodeMetrics:
        """What there is to count, now."""

    @property
    def scrubber(self) -> Scrubber | None:
        """Reads what is on the backend; None where the data is elsewhere."""

    def tell_wear(self, reply: Callable[[dict[str, object] | BrainctlError], None]) -> None:
        """What the store has written to its backend, and what takes its space; Unsupported where that is elsewhere."""

    @property
    def process_token(self) -> str:
        """The token with which this process may do everything."""

    def call(self, method: str, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        """Serve a unary RPC by its path, for who shows a token or else a certificate with this common name."""

    def puts(self, bodies: list[bytes], replies: Replies, token: str | None, common_name: str | None) -> None:
        """Serve PUT for several requests, in their order."""

    def watch(self, send: Callable[[bytes], None], token: str | None, common_name: str | None) -> WatchSession:
        """Open a Watch stream that answers through `send`, with marshalled WatchResponses."""

    def keep_alive(self, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        """One exchange on a LeaseKeepAlive stream."""

    def stream(self, method: str, body: bytes, token: str | None, common_name: str | None) -> AsyncIterator[bytes]:
        """The responses of an RPC with one request that answers with a stream or after a while; raises ApiError.

        Closing the iterator ends the RPC.
        """
