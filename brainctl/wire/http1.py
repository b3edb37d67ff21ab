"""Read requests and write responses of HTTP/1.1, as far as pages need it (RFC 9112)."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NamedTuple

HEAD_BYTES_MAX: Final = 256 * 1024
"""Bytes of the largest head of a request."""
_FIELDS_MAX: Final = 4096
"""Header fields of one request: reading them all takes the event loop a few milliseconds."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The interim response that a client waits for before it sends a body it has announced with Expect."""
LAST_CHUNK: Final = b"0\r\n\r\n"
"""The end of a response in chunks."""

_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,20}) ([!-~]+) HTTP/1\.([01])")
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_SIZE_LINE_BYTES: Final = 256
"""Bytes of the longest line that begins a chunk."""
_FIELD: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")


class Http1Request(NamedTuple):
    """A complete request."""

    method: str
    target: str
    fields: dict[str, str]
    """Header fields by their name in lower case; of fields that are repeated, the last."""
    body: bytes
    keep_alive: bool
    """Whether the client may send another request on the connection."""
    chunks: bool
    """Whether the client takes an answer in chunks."""


class Http1Fault(Exception):
    """The bytes are not a request that is served: answer with the status, then close.

    Without a status they are not HTTP.
    """

    def __init__(self, status: HTTPStatus | None) -> None:
        super().__init__(status.phrase if status else "not HTTP")
        self.status = status


class _Head(NamedTuple):
    method: str
    target: str
    fields: dict[str, str]
    is_1_1: bool
    length: int | None
    """Bytes of the body; None when it comes in chunks."""

    @property
    def keep_alive(self) -> bool:
        connection = self.fields.get("connection", "").lower()
        return "close" not in connection if self.is_1_1 else "keep-alive" in connection

    @property
    def waits(self) -> bool:
        return self.is_1_1 and self.fields.get("expect", "").lower() == "100-continue"


class Http1Reader:
    """Cuts the bytes of one connection into requests; a head has up to HEAD_BYTES_MAX bytes."""

    def __init__(self, body_bytes: int) -> None:
        """Create a reader of requests with bodies of up to `body_bytes` bytes."""
        self._body_bytes = body_bytes
        self._buffer = bytearray()
        self._searched = 0
        """Bytes of the buffer in which no head ends: they are not searched again."""
        self._head: _Head | None = None
        """The head of the request whose body is not complete."""
        self._body = bytearray()
        """The chunks of that body so far."""

    @property
    def held_bytes(self) -> int:
        """Return the number of bytes that `next_request` has not returned in a request yet."""
        return len(self._buffer) + len(self._body)

    @property
    def expects_continue(self) -> bool:
        """Return whether the client sends the body of its request only once it has received CONTINUE."""
        return self._head is not None and self._head.waits and not self._buffer and not self._body

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data

    def next_request(self) -> Http1Request | None:
        """Return the next request, None while it is not complete.

        Raises:
            Http1Fault: it never will be.
        """
        if self._head is None:
            self._head = self._take_head()
        head = self._head
        if head is None:
            return None
        body = self._take_chunks() if head.length is None else self._take(head.length)
        if body is None:
            return None
        self._head = None
        return Http1Request(head.method, head.target, head.fields, body, head.keep_alive, chunks=head.is_1_1)

    def _take_head(self) -> _Head | None:
        """Return the head at the beginning of the buffer, None while it is not complete.

        Raises:
            Http1Fault: it is too large or malformed.
        """
        end = self._buffer.find(b"\r\n\r\n", self._searched, HEAD_BYTES_MAX + 4)
        if end < 0 and len(self._buffer) > HEAD_BYTES_MAX:
            raise Http1Fault(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if end < 0:
            self._searched = max(0, len(self._buffer) - 3)
            return None
        self._searched = 0
        lines = self._buffer[:end].decode("latin-1").split("\r\n", _FIELDS_MAX + 1)
        if len(lines) > _FIELDS_MAX + 1:
            raise Http1Fault(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        first = _REQUEST_LINE.fullmatch(lines[0])
        if first is None:
            raise Http1Fault(HTTPStatus.BAD_REQUEST if " HTTP/" in lines[0] else None)
        fields = _fields(lines[1:])
        length = _length(fields, self._body_bytes, is_1_1=first[3] == "1")
        del self._buffer[: end + 4]
        return _Head(first[1], first[2], fields, first[3] == "1", length)

    def _take(self, size: int) -> bytes | None:
        """Return the next `size` bytes, None while they are not all there."""
        if len(self._buffer) < size:
            return None
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _take_chunks(self) -> bytes | None:
        """Return a body in chunks once it is complete (RFC 9112 section 7.1); trailers are not supported.

        Raises:
            Http1Fault: it is malformed or too large.
        """
        while True:
            end = self._buffer.find(b"\r\n", 0, _SIZE_LINE_BYTES)
            if end < 0 and len(self._buffer) < _SIZE_LINE_BYTES:
                return None
            match = _SIZE_LINE.fullmatch(self._buffer[: max(end, 0)])
            if match is None:
                raise Http1Fault(HTTPStatus.BAD_REQUEST)
            size = int(match[1], 16)
            if len(self._body) + size > self._body_bytes:
                raise Http1Fault(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            chunk = self._take(end + 2 + size + 2)
            if chunk is None:
                return None
            if not chunk.endswith(b"\r\n"):
                raise Http1Fault(HTTPStatus.BAD_REQUEST)
            self._body += chunk[end + 2 : -2]
            if not size:
                body = bytes(self._body)
                self._body.clear()
                return body


def _fields(lines: list[str]) -> dict[str, str]:
    """Return the header fields by name, in lower case.

    Raises:
        Http1Fault: a line is not a field, or one that gives the length is repeated with another value.
    """
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Http1Fault(HTTPStatus.BAD_REQUEST)
        name = match[1].lower()
        if name in {"content-length", "transfer-encoding"} and fields.get(name, match[2]) != match[2]:
            raise Http1Fault(HTTPStatus.BAD_REQUEST)
        fields[name] = match[2]
    return fields


def _length(fields: dict[str, str], most: int, *, is_1_1: bool) -> int | None:
    """Return the length of a body in bytes, None when it comes in chunks.

    Raises:
        Http1Fault: it is malformed or too large, or the fields give both, which can be read in two ways.
    """
    coding = fields.get("transfer-encoding")
    if coding is not None:
        if "content-length" in fields or not is_1_1:
            raise Http1Fault(HTTPStatus.BAD_REQUEST)
        if coding.lower() != "chunked":
            raise Http1Fault(HTTPStatus.NOT_IMPLEMENTED)
        return None
    text = fields.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Http1Fault(HTTPStatus.BAD_REQUEST)
    if len(text) > 10 or int(text) > most:
        raise Http1Fault(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(text)


def whole_response(
    status: int,
    content_type: str,
    body: bytes,
    *,
    keep_alive: bool,
    head_only: bool = False,
    fields: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Return a complete response; `head_only` leaves the body out, for a HEAD request."""
    length = ("Content-Length", str(len(body)))
    connection = ("Connection", "keep-alive" if keep_alive else "close")
    head = _head(status, [("Content-Type", content_type), length, connection, *fields])
    return head + (b"" if head_only else body)


def response_start(status: int, content_type: str, *, chunks: bool, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return the head of a response whose length is not known: it comes in chunks, or ends with the connection."""
    coding = [("Transfer-Encoding", "chunked")] if chunks else []
    return _head(status, [("Content-Type", content_type), *coding, ("Connection", "close"), *fields])


def chunk(data: bytes) -> bytes:
    """Return a part, not empty, of a response in chunks; LAST_CHUNK ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: int, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode()
