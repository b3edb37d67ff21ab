"""Serve the streaming calls of one HTTP/2 connection, and its requests that are not gRPC."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from brainctl.errors import NO_LEADER, BrainctlError, Code, Status
from brainctl.log import Fact
from brainctl.server.call_stats import Calls
from brainctl.server.http2.exchange import Http2Exchange
from brainctl.server.http2.open_streams import OpenStreams
from brainctl.server.http2.streams import STREAMS
from brainctl.server.http2.write_buffer import WriteBuffer
from brainctl.server.http_handlers import HttpHandlers
from brainctl.server.node_protocol import Node
from brainctl.server.status import DEADLINE_EXCEEDED, INTERNAL, SOONEST_SECONDS, status_of
from brainctl.wire.head import Head
from brainctl.wire.server import ServerConnection

_log = logging.getLogger(__name__)

LEADERLESS_SECONDS = 3
"""Seconds without a leader after which a stream that needs one ends: etcd waits for three elections."""


class StreamingCalls:
    """Opens the calls, and passes messages both ways."""

    def __init__(
        self,
        node: Node,
        connection: ServerConnection,
        outgoing: WriteBuffer,
        calls: Calls,
        deadlines: dict[int, float],
        common_name: str | None,
    ) -> None:
        self.open = OpenStreams()
        """The streams that are open."""
        self._node = node
        self._connection = connection
        self._outgoing = outgoing
        self._calls = calls
        self._deadlines = deadlines
        self._common_name = common_name
        self._loop = asyncio.get_running_loop()
        self._led: set[int] = set()
        """Open streams whose clients want them to end when there is no leader."""
        self._leaderless = 0
        """Seconds for which there was none."""

    # -- from the client ----------------------------------------------------------------------------------------------

    def begin(self, stream_id: int, head: Head) -> None:
        """Begin a streaming call, or fail it when its deadline is too near."""
        method = self._calls.of(head.path)
        method.started += 1
        if head.timeout is not None and head.timeout < SOONEST_SECONDS:
            method.ended(DEADLINE_EXCEEDED.code)
            self._connection.fail(stream_id, DEADLINE_EXCEEDED)
            return
        if head.needs_leader and not self._node.has_leader:
            method.ended(NO_LEADER.code)
            self._connection.fail(stream_id, NO_LEADER)
            return
        stream = STREAMS[head.path](self._node, _Outlet(self, stream_id), head.token, self._common_name)
        self.open.add(stream_id, stream, method)
        if head.timeout is not None:
            self._deadlines[stream_id] = self._loop.time() + head.timeout
        if head.needs_leader:
            self._led.add(stream_id)
        if self._outgoing.socket_full:
            stream.pause()

    def message(self, stream_id: int, body: bytes) -> None:
        """Pass a message of the client to its stream."""
        stream = self.open.call(stream_id)
        if stream is None:
            return
        try:
            stream.message(body)
        except BrainctlError as error:
            self.fail(stream_id, status_of(error))
        except Exception:  # noqa: BLE001 - a bug in one stream must not end the others
            _log.exception(Fact("a stream failed"))
            self.fail(stream_id, INTERNAL)

    def open_plain(self, handlers: HttpHandlers, stream_id: int, head: Head, body: bytes) -> None:
        """Serve a request that is not gRPC."""
        soon, over = self._outgoing.flush_soon, partial(self.close, stream_id)
        exchange = Http2Exchange(self._connection, stream_id, soon, over)
        self.open.add(stream_id, exchange)
        exchange.serve(handlers, head, body, self._outgoing.transport)

    # -- to the client ------------------------------------------------------------------------------------------------

    def send(self, stream_id: int, body: bytes) -> None:
        """Send one message of a stream; called by its outlet."""
        self._connection.send(stream_id, body)
        self._outgoing.made(len(body))
        if self._connection.paused(stream_id):
            self.open.pause(stream_id)

    def finish(self, stream_id: int) -> None:
        """End a stream with OK; called by its outlet."""
        self.close(stream_id, Code.OK)
        self._connection.finish(stream_id)
        self._outgoing.flush_soon()

    def fail(self, stream_id: int, status: Status) -> None:
        """End a stream with a status; called by its outlet."""
        self.close(stream_id, status.code)
        self._connection.fail(stream_id, status)
        self._outgoing.flush_soon()

    def close(self, stream_id: int, code: Code = Code.CANCELLED) -> None:
        """Close a stream that has ended in this way; the client is sent nothing."""
        self._deadlines.pop(stream_id, None)
        self._led.discard(stream_id)
        self.open.end(stream_id, code)

    def close_all(self) -> None:
        """Close all streams: the client has gone away."""
        self.open.end_all()
        self._deadlines.clear()
        self._led.clear()

    def tick(self) -> None:
        """Count a second: end the streams that need a leader once there was none for LEADERLESS_SECONDS."""
        if not self._led or self._node.has_leader:
            self._leaderless = 0
            return
        self._leaderless += 1
        if self._leaderless >= LEADERLESS_SECONDS:
            for stream_id in tuple(self._led):
                self.fail(stream_id, NO_LEADER)


class _Outlet:
    """The answering side of one stream of a connection, a `StreamWriter`."""

    def __init__(self, calls: StreamingCalls, stream_id: int) -> None:
        self.send: Callable[[bytes], None] = partial(calls.send, stream_id)
        self.finish: Callable[[], None] = partial(calls.finish, stream_id)
        self.fail: Callable[[Status], None] = partial(calls.fail, stream_id)
