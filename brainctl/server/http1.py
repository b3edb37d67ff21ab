"""A connection whose client speaks HTTP/1.1: one page after the other."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from brainctl.server.pages import Page, Pages
from brainctl.wire.http1 import Http1Fault, Http1Reader, Http1Request, response

IDLE_SECONDS: Final = 60
"""How long a client may take between two requests, and for one."""


class Http1Protocol(asyncio.Protocol):
    """Answers requests in order; reading stops while one is being answered."""

    def __init__(self, pages: Pages, on_lost: Callable[["Http1Protocol"], None]) -> None:
        self._pages = pages
        self._on_lost = on_lost
        self._reader = Http1Reader()
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._ending = False
        self._idle_seconds = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Serve the requests in `data`."""
        self._reader.feed(data)
        self._serve()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is open beyond the connection."""
        del exc
        self._transport = None
        self._on_lost(self)

    def tick(self) -> None:
        """A second has passed: a client that neither asks nor waits for an answer is let go."""
        self._idle_seconds += 1
        if not self._busy and self._idle_seconds > IDLE_SECONDS:
            self.abort()

    def drain(self) -> None:
        """Close after the answer in progress."""
        self._ending = True
        if not self._busy and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def _serve(self) -> None:
        while not self._busy and self._transport is not None and not self._transport.is_closing():
            try:
                request = self._reader.next_request()
            except Http1Fault as fault:
                if fault.status is not None:
                    body = f"{fault.status} {fault}\n".encode()
                    self._transport.write(response(fault.status, "text/plain", body, keep_alive=False))
                self._transport.close()
                return
            if request is None:
                return
            self._busy = True
            self._idle_seconds = 0
            self._transport.pause_reading()
            self._pages.get(request.method, request.target, self._answer(request))

    def _answer(self, request: Http1Request) -> Callable[[Page], None]:
        def answer(page: Page) -> None:
            self._busy = False
            if self._transport is None:
                return
            keep = request.keep_alive and not self._ending
            head_only = request.method == "HEAD"
            self._transport.write(
                response(page.status, page.content_type, page.body, keep_alive=keep, head_only=head_only)
            )
            if keep:
                self._transport.resume_reading()
                asyncio.get_running_loop().call_soon(self._serve)
            else:
                self._transport.close()

        return answer
