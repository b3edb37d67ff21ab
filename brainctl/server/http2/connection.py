"""Connect asyncio, the protocol core of an HTTP/2 connection, which does no I/O, and the node behind it.

All bytes of one read are handled, then everything that was answered meanwhile is sent in one write. Answers that come
later (a group commit) are sent in one write per turn of the event loop. While the socket takes no more, nothing is read
and the streams are paused; while that or the client's flow control holds back too much, requests wait in a backlog
before they reach the node. So a client that does not read costs a bounded amount of memory.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from brainctl.errors import STOPPED
from brainctl.log import Fact
from brainctl.server.http2.streaming import StreamingCalls
from brainctl.server.http2.streams import STREAMS
from brainctl.server.http2.unary import UnaryCalls
from brainctl.server.http2.write_buffer import WRITE_BYTES, WriteBuffer
from brainctl.server.http_handlers import HttpHandlers
from brainctl.server.node_protocol import Node
from brainctl.server.status import DEADLINE_EXCEEDED
from brainctl.wire.events import Closed, Event, HalfClosed, Message, Opened, PlainRequest, Requests, Reset, Resumed
from brainctl.wire.frames import ErrorCode
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection

_log = logging.getLogger(__name__)

_BACKLOG_PER_STREAM: Final = 4
"""Events per allowed stream that may wait while a client does not read, before its connection is closed."""
_STREAMING: Final = frozenset(STREAMS)


class Http2Protocol(asyncio.Protocol):
    """A connection whose client speaks HTTP/2."""

    def __init__(
        self,
        node: Node,
        handlers: HttpHandlers,
        limits: Limits,
        on_lost: Callable[["Http2Protocol"], None],
        common_name: str | None = None,
    ) -> None:
        """Create the protocol of a connection that is not made yet.

        Args:
            node: serves the calls.
            handlers: serves requests that are not gRPC.
            limits: bounds for the client.
            on_lost: called when the connection has ended.
            common_name: that of the client's verified certificate, where clients are authenticated by certificates.
        """
        self._heard = node.stages.heard
        self._served = node.stages.served
        self._handlers = handlers
        self._on_lost = on_lost
        self._limits = limits
        self._calls = handlers.calls
        self._connection = ServerConnection(_STREAMING, limits)
        self._loop = asyncio.get_running_loop()
        self._outgoing = WriteBuffer(self._connection, limits, handlers.calls, self._drop)
        self._deadlines: dict[int, float] = {}
        parts = (node, self._connection, self._outgoing, handlers.calls, self._deadlines, common_name)
        self._unary = UnaryCalls(*parts, partial(self._loop.call_soon, self._try_again))
        self._streams = StreamingCalls(*parts)
        self._backlog: list[Event] = []
        """Requests that wait while too much is to be sent."""

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the SETTINGS of the server."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._outgoing.transport = transport
        self._outgoing.flush()

    def data_received(self, data: bytes) -> None:
        """Serve the requests in `data`."""
        outgoing = self._outgoing
        outgoing.due = True
        self._calls.received_bytes += len(data)
        self._heard()
        self._go_on(self._connection.receive(data))
        self._served()
        outgoing.flush()

    def pause_writing(self) -> None:
        """Read no more, and pause all streams, until the socket takes more."""
        self._outgoing.socket_full = self._outgoing.full = True
        if self._outgoing.transport is not None:
            self._outgoing.transport.pause_reading()
        self._streams.open.pause_all()

    def resume_writing(self) -> None:
        """Read again, and resume the streams: the socket takes more."""
        self._outgoing.socket_full = False
        self._outgoing.read()
        self._streams.open.resume_all(self._connection.paused)
        self._go_on([])
        self._outgoing.flush_soon()

    def _try_again(self) -> None:
        """Serve the requests that waited until fewer were in flight."""
        self._outgoing.let_go()
        if self._outgoing.transport is not None:
            self._go_on([])
            self._outgoing.flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close what the client had open."""
        del exc
        self._outgoing.transport = None
        self._connection.close()
        self._drop()
        self._calls.buffers.forget(self._outgoing)
        self._on_lost(self)

    # -- events of the core -------------------------------------------------------------------------------------------

    def _go_on(self, events: list[Event]) -> None:
        """Serve what was left over, then `events`, until too much waits to be sent."""
        if self._backlog:
            events = self._backlog + events
            self._keep([])
        if self._outgoing.look():
            self._keep(events)
            too_many = len(events) > _BACKLOG_PER_STREAM * self._limits.streams
            if too_many or self._outgoing.waiting_bytes > self._limits.partial_bytes:
                self._connection.close(ErrorCode.ENHANCE_YOUR_CALM, "answers are not read")
                self._drop()
        else:
            self._serve(events)

    def _serve(self, events: list[Event]) -> None:
        """Serve events until too much is to be sent, and keep the rest."""
        rest = iter(events)
        for event in rest:
            if type(event) is Requests:
                left = self._unary.serve(event)
                if left is not None:
                    self._keep([left, *rest])
                    return
            else:
                self._on_event(event)
            if self._outgoing.full:
                self._keep([*rest])
                return

    def _keep(self, events: list[Event]) -> None:
        """Let events wait until the client has read more."""
        self._backlog = events
        self._outgoing.waiting_bytes = sum(map(_size, events)) if events else 0

    def _drop(self) -> None:
        """Drop the events that wait, and close the streams."""
        self._keep([])
        self._streams.close_all()

    def _on_event(self, event: Event) -> None:
        """Serve one event that is not a burst of unary calls."""
        match event:
            case Opened(stream_id, head):
                self._streams.begin(stream_id, head)
            case Message(stream_id, body):
                self._streams.message(stream_id, body)
            case Reset(stream_id):
                self._streams.close(stream_id)
            case PlainRequest(stream_id, head, body):
                self._streams.open_plain(self._handlers, stream_id, head, body)
            case Closed(code, text):
                _log.info(Fact("a connection is closed", error=text, code=code))
                self._streams.close_all()
            case HalfClosed(stream_id):
                self._streams.open.half_close(stream_id)
            case Resumed(stream_id) if not self._outgoing.socket_full:
                self._streams.open.resume(stream_id)
            case _:  # an answer to what is over, or GOAWAY: the client will close by itself
                pass

    # -- for the server -----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Count a second: cancel calls past their deadlines, and close the connection of a client that is silent."""
        if self._connection.tick():
            if self._connection.closed:
                _log.info(Fact("a connection is closed: its client did not answer a ping"))
                self.abort()
                return
            self._outgoing.flush_soon()
        self._streams.tick()
        if self._deadlines:
            now = self._loop.time()
            for stream_id in [stream_id for stream_id, at in self._deadlines.items() if at <= now]:
                self._streams.close(stream_id, DEADLINE_EXCEEDED.code)
                self._connection.expire(stream_id, DEADLINE_EXCEEDED)
            self._outgoing.flush_soon()

    def drain(self) -> None:
        """Take no more requests, end the streams, answer what was asked, then close."""
        self._outgoing.ending = True
        self._connection.shutdown()
        self._streams.open.drain(partial(self._streams.fail, status=STOPPED))
        self._outgoing.flush_soon()

    def abort(self) -> None:
        """Close the connection now."""
        if self._outgoing.transport is not None:
            self._outgoing.transport.abort()


def _size(event: Event) -> int:
    """Return the bytes of requests' bodies that an event holds."""
    if type(event) is Requests:
        return sum(map(len, event.bodies))
    return len(event.body) if isinstance(event, Message | PlainRequest) else 0
