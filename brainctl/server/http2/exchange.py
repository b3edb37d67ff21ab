"""Answer a request over HTTP/2 that is not gRPC."""

import asyncio
import logging
from collections.abc import Callable

from brainctl.log import Fact
from brainctl.server.http_handlers import HttpHandlers
from brainctl.server.http_request import BROKEN, Call, HttpRequest, HttpResponse, is_local
from brainctl.wire.head import Head
from brainctl.wire.server import ServerConnection

_log = logging.getLogger(__name__)


class Http2Exchange:
    """One answer on a connection; it counts among the streams, and takes no messages."""

    def __init__(
        self, connection: ServerConnection, stream_id: int, flush: Callable[[], None], over: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._stream_id = stream_id
        self._flush = flush
        self._over = over
        self._call: Call | None = None
        self._closed = False
        self._begun = False

    def serve(self, handlers: HttpHandlers, head: Head, body: bytes, transport: asyncio.Transport | None) -> None:
        """Pass the request to the handlers, which answer it."""
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.fields}
        fields["host"] = head.authority or fields.get("host", "")
        secure = transport is not None and transport.get_extra_info("sslcontext") is not None
        local = transport is not None and is_local(transport.get_extra_info("peername"))
        try:
            self._call = handlers.serve(HttpRequest(head.method, head.path, fields, body, secure, local), self)
        except Exception:  # noqa: BLE001 - a bug in one answer must not end the others
            _log.exception(Fact("an HTTP request failed", path=head.path.partition("?")[0]))
            self.respond(BROKEN)
        if self._closed:
            self._close_call()

    # -- Exchange -----------------------------------------------------------------------------------------------------

    def respond(self, response: HttpResponse) -> None:
        """See `Exchange`."""
        self._connection.respond(
            self._stream_id, response.status, response.content_type, response.body, response.fields
        )
        self._over()
        self._flush()

    def begin(self, response: HttpResponse) -> None:
        """See `Exchange`."""
        self._begun = True
        self._connection.begin_response(self._stream_id, response.status, response.content_type, response.fields)
        self.send(response.body)

    def send(self, data: bytes) -> None:
        """See `Exchange`."""
        self._connection.send_body(self._stream_id, data)
        self._flush()
        if self._connection.paused(self._stream_id):
            self.pause()

    def end(self) -> None:
        """See `Exchange`."""
        self._connection.end_response(self._stream_id)
        self._over()
        self._flush()

    # -- for the connection, as a stream ------------------------------------------------------------------------------

    def half_close(self) -> None:
        """Do nothing: the request was complete."""

    def pause(self) -> None:
        """Pause the answer: the client does not read."""
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """Resume the answer: the client reads again."""
        if self._call is not None:
            self._call.resume()

    def drain(self) -> None:
        """End an answer that has no end of its own."""
        if self._begun:
            self.end()

    def close(self) -> None:
        """Stop answering: the answer is complete, or the client has gone away."""
        self._closed = True
        self._close_call()

    def _close_call(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.close()
            self._connection.end_response(self._stream_id)
