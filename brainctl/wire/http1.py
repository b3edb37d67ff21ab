"""HTTP/1.1 as far as pages need it (RFC 9112): requests out of bytes, bytes out of responses."""

import re
from http import HTTPStatus
from typing import Final, NamedTuple

HEAD_BYTES_MAX: Final = 16 * 1024
BODY_BYTES_MAX: Final = 2 * 1024 * 1024

_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,20}) ([!-~]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")


class Http1Request(NamedTuple):
    """A whole request."""

    method: str
    target: str
    body: bytes
    keep_alive: bool
    """The client may send another request on the connection."""


class Http1Fault(Exception):
    """The bytes are no request that is served: answer with the status, then close. No status: they are not HTTP."""

    def __init__(self, status: HTTPStatus | None) -> None:
        super().__init__(status.phrase if status else "not HTTP")
        self.status = status


class Http1Reader:
    """Cuts the bytes of one connection into requests; holds at most one head and one body."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data

    def next_request(self) -> Http1Request | None:
        """The next request, None while it is not whole; Http1Fault when it never will be."""
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEAD_BYTES_MAX or (end < 0 and len(self._buffer) > HEAD_BYTES_MAX):
            raise Http1Fault(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if end < 0:
            return None
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        first = _REQUEST_LINE.fullmatch(lines[0])
        if first is None:
            raise Http1Fault(HTTPStatus.BAD_REQUEST if " HTTP/" in lines[0] else None)
        fields = _fields(lines[1:])
        length = _length(fields)
        start = end + 4
        if len(self._buffer) < start + length:
            return None
        body = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        connection = fields.get("connection", "").lower()
        keep_alive = "close" not in connection if first[3] == "1" else "keep-alive" in connection
        return Http1Request(first[1], first[2], body, keep_alive)


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Http1Fault(HTTPStatus.BAD_REQUEST)
        name = match[1].lower()
        if name == "content-length" and fields.get(name, match[2]) != match[2]:
            raise Http1Fault(HTTPStatus.BAD_REQUEST)
        fields[name] = match[2]
    return fields


def _length(fields: dict[str, str]) -> int:
    if "transfer-encoding" in fields:
        raise Http1Fault(HTTPStatus.NOT_IMPLEMENTED)
    text = fields.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Http1Fault(HTTPStatus.BAD_REQUEST)
    if len(text) > 10 or int(text) > BODY_BYTES_MAX:
        raise Http1Fault(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(text)


def response(status: int, content_type: str, body: bytes, *, keep_alive: bool, head_only: bool = False) -> bytes:
    """A whole response; `head_only` leaves the body out, as HEAD wants it."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)
