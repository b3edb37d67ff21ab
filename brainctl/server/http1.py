"""A connection whose client speaks HTTP/1.1: one request after the other."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from brainctl.log import Fact
from brainctl.server.buffers import SMALL_BYTES, Buffers
from brainctl.server.http_handlers import HttpHandlers, Monitoring
from brainctl.server.http_request import BROKEN, Call, HttpRequest, HttpResponse, is_local
from brainctl.wire.http1 import (
    CONTINUE,
    LAST_CHUNK,
    Http1Fault,
    Http1Reader,
    Http1Request,
    chunk,
    response_start,
    whole_response,
)
from brainctl.wire.limits import Limits

_log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 60
"""Seconds that a client may take between two requests, and for sending one."""
HELD_BYTES: Final = 64 * 1024
"""Bytes of later requests that are taken in while one is being answered."""
WRITE_BYTES: Final = 1 << 20
"""Bytes that may wait for the socket before a streaming call is paused."""


class Http1Protocol(asyncio.Protocol):
    """Answers requests in order. It keeps reading meanwhile, to notice when the client goes away."""

    def __init__(
        self,
        handlers: HttpHandlers | Monitoring,
        limits: Limits,
        on_lost: Callable[["Http1Protocol"], None],
        on_waiting: Callable[["Http1Protocol", bool], None],
        buffers: Buffers,
    ) -> None:
        """Create the protocol of a connection that is not made yet.

        Args:
            handlers: serves the requests.
            limits: bounds for the client.
            on_lost: called when the connection has ended.
            on_waiting: told with False that a request is complete, and with True that it is answered.
            buffers: told how many bytes are held.
        """
        self._handlers = handlers
        self._buffers = buffers
        self._on_lost = on_lost
        self._on_waiting = on_waiting
        self._reader = Http1Reader(limits.http_body_bytes)
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None
        """The answer in progress."""
        self._reported = 0
        """Bytes that were last reported as held here."""
        self._ending = False
        self._idle_seconds = 0
        self._secure = False
        self._local = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        self._transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._secure = transport.get_extra_info("sslcontext") is not None
        self._local = is_local(transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        """Serve the requests in `data`."""
        self._reader.feed(data)
        if self._exchange is None:
            self._serve()
        elif self._reader.held_bytes > HELD_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._report()

    def eof_received(self) -> bool:
        """Keep the socket open for an answer that the client waits for; close it where the client follows a stream."""
        self._ending = True
        return self._exchange is not None and not self._exchange.begun

    def pause_writing(self) -> None:
        """Pause the answer: the client does not read."""
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        """Resume the answer: the client reads again."""
        if self._exchange is not None:
            self._exchange.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what was being answered."""
        del exc
        self._transport = None
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None
        self._buffers.forget(self)
        self._on_lost(self)

    def tick(self) -> None:
        """Close the connection of a client that neither asks nor waits for an answer; called each second."""
        self._idle_seconds += 1
        if self._exchange is None and self._idle_seconds > IDLE_SECONDS:
            self.abort()

    def drain(self) -> None:
        """Close after the answer in progress; one that has no end of its own is ended now."""
        self._ending = True
        if self._exchange is not None and self._exchange.begun:
            self._exchange.end()
        elif self._exchange is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def _report(self) -> None:
        before = self._reported
        if self.measure() != before:
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._buffers.report(self, self.measure())

    def measure(self) -> int:
        """See Holder."""
        held = 0
        if self._transport is not None and not self._transport.is_closing():
            held = self._reader.held_bytes + self._transport.get_write_buffer_size()
        self._reported = held if held > SMALL_BYTES else 0
        return self._reported

    def cut(self) -> None:
        """See Holder."""
        self.abort()

    def _serve(self) -> None:
        while self._exchange is None and self._transport is not None and not self._transport.is_closing():
            try:
                request = self._reader.next_request()
            except Http1Fault as fault:
                if fault.status is not None:
                    body = f"{fault.status} {fault}\n".encode()
                    self._transport.write(whole_response(fault.status, "text/plain", body, keep_alive=False))
                self._transport.close()
                return
            if request is None:
                if self._reader.expects_continue:
                    self._transport.write(CONTINUE)
                return
            self._idle_seconds = 0
            self._on_waiting(self, False)
            exchange = self._exchange = _Exchange(self, request)
            whole = HttpRequest(request.method, request.target, request.fields, request.body, self._secure, self._local)
            try:
                exchange.keep(self._handlers.serve(whole, exchange))
            except Exception:  # noqa: BLE001 - a bug in one answer must not end the others
                _log.exception(Fact("an HTTP request failed", path=request.target.partition("?")[0]))
                exchange.respond(BROKEN)

    # -- for the exchange ---------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Return whether the connection takes no more requests."""
        return self._ending

    def write(self, data: bytes) -> None:
        """Send a part of the answer in progress."""
        if self._transport is not None:
            self._transport.write(data)
            self._report()

    def answered(self, *, keep: bool) -> None:
        """End the answer in progress; with `keep` serve the next request, else close."""
        self._exchange = None
        self._idle_seconds = 0
        if self._transport is None:
            return
        if keep:
            self._on_waiting(self, True)
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self._serve)
        else:
            self._transport.close()


class _Exchange:
    """The answer to one request."""

    def __init__(self, protocol: Http1Protocol, request: Http1Request) -> None:
        self._protocol = protocol
        self._request = request
        self._call: Call | None = None
        self._over = False
        self.begun = False

    def respond(self, response: HttpResponse) -> None:
        """See Exchange."""
        if self._over:
            return
        keep = self._request.keep_alive and not self._protocol.ending
        head_only = self._request.method == "HEAD"
        self._protocol.write(
            whole_response(
                response.status,
                response.content_type,
                response.body,
                keep_alive=keep,
                head_only=head_only,
                fields=response.fields,
            )
        )
        self._finish(keep=keep)

    def begin(self, response: HttpResponse) -> None:
        """See Exchange."""
        if not self._over:
            self.begun = True
            chunks = self._request.chunks
            self._protocol.write(
                response_start(response.status, response.content_type, chunks=chunks, fields=response.fields)
                + (chunk(response.body) if chunks else response.body)
            )

    def send(self, data: bytes) -> None:
        """See Exchange."""
        if not self._over:
            self._protocol.write(chunk(data) if self._request.chunks else data)

    def end(self) -> None:
        """See Exchange."""
        if not self._over:
            if self._request.chunks:
                self._protocol.write(LAST_CHUNK)
            self._finish(keep=False)

    # -- for the connection -------------------------------------------------------------------------------------------

    def keep(self, call: Call | None) -> None:
        """Remember the call that goes on; the answer may have come before this."""
        self._call = call
        if self._over:
            self._close_call()

    def pause(self) -> None:
        """Pause the call: the client does not read."""
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """Resume the call: the client reads again."""
        if self._call is not None:
            self._call.resume()

    def close(self) -> None:
        """Drop what is still to be answered."""
        self._over = True
        self._close_call()

    def _finish(self, *, keep: bool) -> None:
        self.close()
        self._protocol.answered(keep=keep)

    def _close_call(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.close()
