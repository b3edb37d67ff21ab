"""HTTP/1.1 as far as pages need it (RFC 9112): requests out of bytes, bytes out of responses."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NamedTuple

HEAD_BYTES_MAX: Final = 16 * 1024
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,20}) ([!-~]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")


class Http1Request(NamedTuple):
    """A whole request."""

    method: str
    target: str
    fields: dict[str, str]
    """Header fields by their name in lower case; of fields that are repeated, the last."""
    body: bytes
    keep_alive: bool
    """The client may send another request on the connection."""
    chunks: bool
    """The client takes an answer in chunks."""


class Http1Fault(Exception):
    """The bytes are no request that is served: answer with the status, then close. No status: they are not HTTP."""

    def __init__(self, status: HTTPStatus | None) -> None:
        super().__init__(status.phrase if status else "not HTTP")
        self.status = status


class Http1Reader:
    """Cuts the bytes of one connection into requests; a body has at most `body_bytes`, a head HEAD_BYTES_MAX."""

    def __init__(self, body_bytes: int) -> None:
        self._body_bytes = body_bytes
        self._buffer = bytearray()
        self.awaited = False
        """The client sends the body of its request once it has seen CONTINUE."""

    @property
    def held_bytes(self) -> int:
        """Bytes of requests that `next_request` has not given yet."""
        return len(self._buffer)

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
        length = _length(fields, self._body_bytes)
        start = end + 4
        if len(self._buffer) < start + length:
            expected = first[3] == "1" and fields.get("expect", "").lower() == "100-continue"
            self.awaited = expected and len(self._buffer) == start
            return None
        self.awaited = False
        body = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        connection = fields.get("connection", "").lower()
        keep_alive = "close" not in connection if first[3] == "1" else "keep-alive" in connection
        return Http1Request(first[1], first[2], fields, body, keep_alive, chunks=first[3] == "1")


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


def _length(fields: dict[str, str], most: int) -> int:
    if "transfer-encoding" in fields:
        raise Http1Fault(HTTPStatus.NOT_IMPLEMENTED)
    text = fields.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Http1Fault(HTTPStatus.BAD_REQUEST)
    if len(text) > 10 or int(text) > most:
        raise Http1Fault(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(text)


def response(
    status: int,
    content_type: str,
    body: bytes,
    *,
    keep_alive: bool,
    head_only: bool = False,
    fields: Iterable[tuple[str, str]] = (),
) -> bytes:
    """A whole response; `head_only` leaves the body out, as HEAD wants it."""
    length = ("Content-Length", str(len(body)))
    connection = ("Connection", "keep-alive" if keep_alive else "close")
    head = _head(status, [("Content-Type", content_type), length, connection, *fields])
    return head + (b"" if head_only else body)


def response_start(status: int, content_type: str, *, chunks: bool, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    """The head of a response whose length is not known: in chunks, or up to the end of the connection."""
    coding = [("Transfer-Encoding", "chunked")] if chunks else []
    return _head(status, [("Content-Type", content_type), *coding, ("Connection", "close"), *fields])


def chunk(data: bytes) -> bytes:
    """A part, not empty, of a response in chunks; LAST_CHUNK ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: int, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode()
