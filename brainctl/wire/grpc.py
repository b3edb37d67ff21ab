"""Encode and decode what gRPC adds to HTTP/2: message prefixes, status trailers, timeouts (grpc PROTOCOL-HTTP2.md)."""

import re
import zlib
from struct import Struct
from typing import Final
from urllib.parse import unquote_to_bytes

from brainctl.errors import ApiError, Code, Status
from brainctl.wire.headers import Field

PREFIX_BYTES: Final = 5
"""Bytes before each message: a flag for compression, and the length in four bytes."""
DATA_HEADER: Final = Struct(">IBIBI")
"""The header of a DATA frame, as frames.FRAME_HEADER, and the prefix of a message that begins in it."""
CONTENT_TYPE: Final = b"application/grpc"

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_UNSAFE: Final = re.compile(rb"[^ -$&-~]")
_GZIP_WINDOW: Final = 31
"""zlib's number for gzip with the largest window."""


def message(body: bytes) -> bytes:
    """Return `body` behind its prefix: not compressed, length in four bytes."""
    return len(body).to_bytes(PREFIX_BYTES) + body


def is_grpc(content_type: bytes) -> bool:
    """Return whether a content-type is gRPC's: application/grpc, alone or followed by + or ; and more."""
    return content_type.startswith(CONTENT_TYPE) and content_type[16:17] in {b"", b"+", b";"}


def timeout_seconds(value: bytes) -> float | None:
    """Return the seconds of a grpc-timeout such as b"250m"; None when it is malformed."""
    match = _TIMEOUT.fullmatch(value)
    return int(match[1]) * _UNIT_SECONDS[match[2]] if match else None


def encode_message_text(text: str) -> bytes:
    """Return a grpc-message: UTF-8, percent-encoded but for printable ASCII without the percent sign."""
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], text.encode())


def decode_message_text(value: bytes) -> str:
    """Return the text of a grpc-message; what is not valid stays as it is."""
    return unquote_to_bytes(value).decode(errors="replace")


def status_fields(code: int, text: str) -> list[Field]:
    """Return the trailers of a call that ended with `code`."""
    fields = [(b"grpc-status", str(int(code)).encode())]
    if text:
        fields.append((b"grpc-message", encode_message_text(text)))
    return fields


class MessageReader:
    """Cuts a stream's data into messages.

    Holds at most one message of `limit` bytes. Its methods raise ApiError with the status that ends the call:
    RESOURCE_EXHAUSTED for a message that is too large, UNIMPLEMENTED for an unknown compression, INTERNAL for a broken
    one.
    """

    def __init__(self, limit: int, encoding: bytes) -> None:
        """Create a reader.

        Args:
            limit: bytes of the largest message, before and after decompression.
            encoding: the call's grpc-encoding, empty without one.
        """
        self._limit = limit
        self._encoding = encoding
        self._buffer = bytearray()

    @property
    def held_bytes(self) -> int:
        """Return the number of bytes held of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that `data` completes.

        Raises:
            ApiError: a message is too large or cannot be decompressed.
        """
        buffer = self._buffer
        buffer += data
        messages: list[bytes] = []
        at = 0
        while len(buffer) - at >= PREFIX_BYTES:
            length = int.from_bytes(buffer[at + 1 : at + PREFIX_BYTES])
            if length > self._limit:
                raise too_large(length, self._limit)
            end = at + PREFIX_BYTES + length
            if end > len(buffer):
                break
            body = bytes(buffer[at + PREFIX_BYTES : end])
            messages.append(self._decompress(body) if buffer[at] else body)
            at = end
        del buffer[:at]
        return messages

    def close(self) -> None:
        """Check that the stream does not end within a message.

        Raises:
            ApiError: it does.
        """
        if self._buffer:
            raise ApiError(Status(Code.INTERNAL, "grpc: the request ends within a message"))

    def _decompress(self, body: bytes) -> bytes:
        """Return a message that was compressed, with no more than `limit` bytes."""
        if self._encoding in {b"", b"identity"}:
            raise ApiError(Status(Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding"))
        if self._encoding != b"gzip":
            name = self._encoding.decode("latin-1")
            raise ApiError(
                Status(Code.UNIMPLEMENTED, f'grpc: Decompressor is not installed for grpc-encoding "{name}"')
            )
        reader = zlib.decompressobj(wbits=_GZIP_WINDOW)
        try:
            plain = reader.decompress(body, self._limit + 1)
        except zlib.error as error:
            text = f"grpc: failed to decompress the message: {error}"
            raise ApiError(Status(Code.INTERNAL, text)) from error
        if len(plain) > self._limit:
            text = f"grpc: received message after decompression larger than max {self._limit}"
            raise ApiError(Status(Code.RESOURCE_EXHAUSTED, text))
        if not reader.eof:
            raise ApiError(Status(Code.INTERNAL, "grpc: failed to decompress the message: unexpected end"))
        return plain


def too_large(length: int, limit: int) -> ApiError:
    """Return the error for a message of `length` bytes where `limit` are allowed."""
    return ApiError(Status(Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({length} vs. {limit})"))
