"""The interface that the server asks of a node; brainctl.node.node.Node is one."""

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
        """Serve a marshalled WatchRequest.

        Raises:
            ApiError: the request cannot be read, and the stream is to be ended with the error.
        """

    def pause(self) -> None:
        """Send no events until `resume`: the client does not read. May be called from inside `send`."""

    def resume(self) -> None:
        """Send events again: the client reads."""

    def close(self) -> None:
        """Close the stream; nothing is sent any more."""


class Node(Protocol):
    """The RPCs of the etcd API: bytes in, bytes out. All calls are made on the event loop."""

    @property
    def stages(self) -> Stages:
        """Return the record of the times of writes; who reads a connection notes in it when that began and ended."""

    def figures(self) -> NodeMetrics:
        """Return the current counters of the node."""

    @property
    def has_leader(self) -> bool:
        """Return whether writes have somebody to make them."""

    @property
    def scrubber(self) -> Scrubber | None:
        """Return what scrubs the store; None where the data is elsewhere."""

    def tell_wear(self, reply: Callable[[dict[str, object] | BrainctlError], None]) -> None:
        """Answer with what the store has written to its backend, and what takes its space.

        The answer is Unsupported where the data is elsewhere.
        """

    @property
    def process_token(self) -> str:
        """Return the token with which this process may do everything."""

    def call(self, method: str, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        """Serve a unary RPC.

        Args:
            method: its path.
            body: the marshalled request.
            reply: called once, with the marshalled response or an error.
            token: the token of the sender, if it showed one.
            common_name: that of its verified client certificate, which counts where there is no token.
        """

    def puts(self, bodies: list[bytes], replies: Replies, token: str | None, common_name: str | None) -> None:
        """Serve KV.Put for several requests of one sender, in their order."""

    def watch(self, send: Callable[[bytes], None], token: str | None, common_name: str | None) -> WatchSession:
        """Open a Watch stream that answers through `send`, with marshalled WatchResponses."""

    def keep_alive(self, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        """Serve one exchange of a LeaseKeepAlive stream."""

    def stream(self, method: str, body: bytes, token: str | None, common_name: str | None) -> AsyncIterator[bytes]:
        """Return the responses of an RPC with one request that answers with a stream, or after a while.

        Closing the iterator ends the RPC.

        Raises:
            ApiError: from the iterator, where the RPC fails.
        """
