"""One connection of the edge: asyncio on one side, the sans-IO core on the other, a node behind it.

Every read is walked whole, then everything that was answered meanwhile leaves in one write. Answers that come later (a
group commit) leave in one write per event-loop turn. While the socket takes no more, nothing is read and the streams
are paused; while that or the client's flow control holds back too much, requests wait in a backlog before they reach
the node. So a client that does not read costs a bounded amount of memory.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from brainctl.errors import STOPPED, BrainctlError, Code, Status
from brainctl.server.calls import Method
from brainctl.server.http2_exchange import Http2Exchange
from brainctl.server.node import Node
from brainctl.server.open_streams import OpenStreams
from brainctl.server.pages import Pages
from brainctl.server.status import DEADLINE_EXCEEDED, INTERNAL, status_of, unknown_path
from brainctl.server.streams import STREAMS
from brainctl.wire.events import Closed, Event, HalfClosed, Message, Opened, PageRequest, Request, Reset, Resumed
from brainctl.wire.frames import ErrorCode
from brainctl.wire.head import Head
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection

_log = logging.getLogger(__name__)

WRITE_BYTES: Final = 1 << 20
"""What may wait for the socket before reading stops and the streams are paused."""
_BACKLOG_PER_STREAM: Final = 4
"""Events per allowed stream that may wait while a client does not read, before it is cut off."""
_KNOWN_PATHS: Final = 1024
_STREAMING: Final = frozenset(STREAMS)


class Http2Protocol(asyncio.Protocol):
    """A connection whose client speaks HTTP/2."""

    def __init__(
        self,
        node: Node,
        pages: Pages,
        limits: Limits,
        on_lost: Callable[["Http2Protocol"], None],
        common_name: str | None = None,
    ) -> None:
        self._node = node
        self._heard = node.stages.heard
        self._served = node.stages.served
        self._pages = pages
        self._common_name = common_name
        """Of the client's verified certificate, where certificates say who a client is."""
        self._on_lost = on_lost
        self._connection = ServerConnection(_STREAMING, limits)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._streams = OpenStreams()
        self._calls = pages.calls
        self._known: dict[str, Method] = {}
        self._deadlines: dict[int, float] = {}
        self._flush_due = False
        self._limits = limits
        self._unflushed = 0
        """About how many bytes of answers were made since the last flush."""
        self._socket_full = False
        self._full = False
        """Too much waits to be sent: what was asked waits in the backlog."""
        self._backlog: list[Event] = []
        self._ending = False

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello: the SETTINGS of the server."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        self._transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Serve the requests in `data`."""
        self._flush_due = True
        self._calls.received_bytes += len(data)
        self._heard()
        self._go_on(self._connection.receive(data))
        self._served()
        self._flush()

    def pause_writing(self) -> None:
        """The socket is full: hear and make no more until it is not."""
        self._socket_full = self._full = True
        if self._transport is not None:
            self._transport.pause_reading()
        self._streams.pause_all()

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._socket_full = False
        if self._transport is not None:
            self._transport.resume_reading()
        self._streams.resume_all(self._connection.paused)
        self._go_on([])
        self._flush_soon()

    def _go_on(self, events: list[Event]) -> None:
        """Serve what was left over, then `events`, until too much waits to be sent."""
        if self._backlog:
            events = self._backlog + events
            self._backlog = []
        self._full = self._socket_full or self._connection.queued_bytes > self._limits.queue_bytes
        if self._full:
            self._backlog = events
            if len(events) > _BACKLOG_PER_STREAM * self._limits.streams:
                self._connection.close(ErrorCode.ENHANCE_YOUR_CALM, "answers are not read")
                self._end_streams()
        else:
            self._serve(events)

    def _serve(self, events: list[Event]) -> None:
        connection = self._connection
        call = self._node.call
        known = self._known.get
        common_name = self._common_name
        rest = iter(events)
        for event in rest:
            if type(event) is Request:
                stream_id, head, body = event
                method = known(head.path) or self._check_path(stream_id, head.path)
                if method is None:
                    continue
                method.started += 1
                try:
                    call(head.path, body, partial(self._reply, stream_id, method), head.token, common_name)
                except Exception:  # noqa: BLE001 - a bug in one call must not end the others
                    _log.exception("%s failed", head.path)
                    method.ended(INTERNAL.code)
                    connection.fail(stream_id, INTERNAL)
                if head.timeout is not None and connection.is_open(stream_id):
                    self._deadlines[stream_id] = self._loop.time() + head.timeout
            else:
                self._on_event(event)
            if self._full:
                self._backlog = [*rest]
                return

    def connection_lost(self, exc: Exception | None) -> None:
        """Close what the client had open."""
        del exc
        self._transport = None
        self._backlog = []
        self._connection.close()
        self._end_streams()
        self._on_lost(self)

    # -- for the server -----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """A second has passed."""
        if self._connection.tick():
            if self._connection.closed:
                _log.info("a client that has not answered a PING is cut off")
                self.abort()
                return
            self._flush_soon()
        if self._deadlines:
            now = self._loop.time()
            for stream_id in [stream_id for stream_id, at in self._deadlines.items() if at <= now]:
                del self._deadlines[stream_id]
                self._end_stream(stream_id, DEADLINE_EXCEEDED.code)
                self._connection.expire(stream_id, DEADLINE_EXCEEDED)
            self._flush_soon()

    def drain(self) -> None:
        """Take no more requests, end the streams, answer what was asked, then close."""
        self._ending = True
        self._connection.shutdown()
        self._streams.drain(partial(self._fail, status=STOPPED))
        self._flush_soon()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    # -- requests -----------------------------------------------------------------------------------------------------

    def _check_path(self, stream_id: int, path: str) -> Method | None:
        status = unknown_path(path)
        if status is not None:
            self._connection.fail(stream_id, status)
            return None
        method = self._calls.of(path)
        if len(self._known) < _KNOWN_PATHS:
            self._known[path] = method
        return method

    def _on_event(self, event: Event) -> None:
        match event:
            case Opened(stream_id, head):
                self._open_stream(stream_id, head)
            case Message(stream_id, body):
                self._on_message(stream_id, body)
            case Reset(stream_id):
                self._end_stream(stream_id)
            case PageRequest(stream_id, head, body):
                self._open_page(stream_id, head, body)
            case Closed(code, text):
                _log.info("connection closed: %s (%d)", text, code)
                self._end_streams()
            case HalfClosed(stream_id):
                self._streams.half_close(stream_id)
            case Resumed(stream_id) if not self._socket_full:
                self._streams.resume(stream_id)
            case _:  # an answer to what is over, or GOAWAY: the client will close by itself
                pass

    def _open_stream(self, stream_id: int, head: Head) -> None:
        outlet = _Outlet(self, stream_id)
        method = self._calls.of(head.path)
        method.started += 1
        stream = STREAMS[head.path](self._node, outlet, head.token, self._common_name)
        self._streams.add(stream_id, stream, method)
        if head.timeout is not None:
            self._deadlines[stream_id] = self._loop.time() + head.timeout
        if self._socket_full:
            stream.pause()

    def _open_page(self, stream_id: int, head: Head, body: bytes) -> None:
        exchange = Http2Exchange(self._connection, stream_id, self._flush_soon, partial(self._end_stream, stream_id))
        self._streams.add(stream_id, exchange)
        exchange.serve(self._pages, head, body, self._transport)

    def _on_message(self, stream_id: int, body: bytes) -> None:
        stream = self._streams.call(stream_id)
        if stream is None:
            return
        try:
            stream.message(body)
        except BrainctlError as error:
            self._fail(stream_id, status_of(error))
        except Exception:  # noqa: BLE001 - a bug in one stream must not end the others
            _log.exception("a stream failed")
            self._fail(stream_id, INTERNAL)

    # -- answers ------------------------------------------------------------------------------------------------------

    def _reply(self, stream_id: int, method: Method, answer: bytes | BrainctlError) -> None:
        if isinstance(answer, bytes):
            method.ok += 1
            self._connection.reply(stream_id, answer)
            self._unflushed += len(answer)
            if self._unflushed > WRITE_BYTES:
                self._flush_now()
        else:
            status = status_of(answer)
            method.ended(status.code)
            self._connection.fail(stream_id, status)
        if self._deadlines:
            self._deadlines.pop(stream_id, None)
        if not self._flush_due:
            self._flush_soon()

    def send(self, stream_id: int, body: bytes) -> None:
        """One message of a stream, for its outlet."""
        self._connection.send(stream_id, body)
        self._unflushed += len(body)
        if self._unflushed > WRITE_BYTES:
            self._flush_now()
        self._flush_soon()
        if self._connection.paused(stream_id):
            self._streams.pause(stream_id)

    def finish(self, stream_id: int) -> None:
        """End a stream with OK, for its outlet."""
        self._end_stream(stream_id, Code.OK)
        self._connection.finish(stream_id)
        self._flush_soon()

    def _fail(self, stream_id: int, status: Status) -> None:
        self._end_stream(stream_id, status.code)
        self._connection.fail(stream_id, status)
        self._flush_soon()

    fail = _fail

    def _end_stream(self, stream_id: int, code: Code = Code.CANCELLED) -> None:
        self._deadlines.pop(stream_id, None)
        self._streams.end(stream_id, code)

    def _end_streams(self) -> None:
        self._streams.end_all()
        self._deadlines.clear()

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._flush_now()
        closing = self._connection.closed or (self._ending and self._connection.drained)
        if closing and self._transport is not None:
            self._transport.close()

    def _flush_now(self) -> None:
        """Hand to the socket what there is: it, or the windows of the client, may turn out to be full."""
        self._unflushed = 0
        data = self._connection.take()
        if data and self._transport is not None:
            self._calls.sent_bytes += len(data)
            self._transport.write(data)
        if self._connection.queued_bytes > self._limits.queue_bytes:
            self._full = True


class _Outlet:
    """The answering side of one stream of a connection."""

    def __init__(self, protocol: Http2Protocol, stream_id: int) -> None:
        self.send: Callable[[bytes], None] = partial(protocol.send, stream_id)
        self.finish: Callable[[], None] = partial(protocol.finish, stream_id)
        self.fail: Callable[[Status], None] = partial(protocol.fail, stream_id)
