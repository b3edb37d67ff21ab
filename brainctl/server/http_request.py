"""A request of HTTP beside gRPC and the answering side of it, whatever version of HTTP carries them."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple, Protocol


class HttpResponse(NamedTuple):
    """A whole response."""

    status: int
    content_type: str
    body: bytes
    fields: tuple[tuple[str, str], ...] = ()
    """Header fields besides those that every response has."""


BROKEN: Final = HttpResponse(500, "text/plain; charset=utf-8", b"internal error; the server's log has more\n")
"""Answer when answering failed."""


class HttpRequest(NamedTuple):
    """A whole request."""

    method: str
    target: str
    """Path and query."""
    fields: Mapping[str, str]
    """Header fields by their name in lower case; "host" is that of the request also in HTTP/2."""
    body: bytes
    secure: bool
    """Whether the request came over TLS."""
    local: bool = False
    """Whether the request came from this machine, over loopback."""


def is_local(peername: object) -> bool:
    """Return whether the other end of a socket is this machine, over loopback or a Unix socket.

    Args:
        peername: what `get_extra_info("peername")` returns; a Unix socket has no name.
    """
    if not isinstance(peername, tuple) or not peername:
        return isinstance(peername, str | bytes)
    address = ip_address(str(peername[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


class Exchange(Protocol):
    """Answers one request: `respond` alone, or `begin`, `send` as often as wanted, and `end`.

    What is done once the client has gone away is dropped.
    """

    def respond(self, response: HttpResponse) -> None:
        """Answer with a whole response."""

    def begin(self, response: HttpResponse) -> None:
        """Begin an answer whose length is not known, with the status, fields and body of `response`."""

    def send(self, data: bytes) -> None:
        """Send the next part of an answer.

        When the client reads too slowly, the call's `pause` is called, possibly before this returns.
        """

    def end(self) -> None:
        """End the answer."""


class Call(Protocol):
    """The work behind a request that is being answered."""

    def pause(self) -> None:
        """Stop sending: the client does not read."""

    def resume(self) -> None:
        """Go on sending: the client reads again."""

    def close(self) -> None:
        """End the work: the request is answered, or the client has gone away. Called once."""
