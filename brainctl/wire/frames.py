"""Build and read the frames of HTTP/2 (RFC 9113 section 4 and 6), and name the two kinds of protocol error."""

from enum import IntEnum
from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The first bytes that a client sends (RFC 9113 section 3.4)."""

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x01
ACK: Final = 0x01
END_HEADERS: Final = 0x04
PADDED: Final = 0x08
PRIORITISED: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

HEADER_BYTES: Final = 9
"""Bytes of a frame header: length 3, type 1, flags 1, stream identifier 4."""
FRAME_BYTES: Final = 1 << 14
"""Bytes of the largest payload that every peer takes, and that we take."""
FRAME_BYTES_MAX: Final = (1 << 24) - 1
"""Bytes of the largest payload that a peer may allow with MAX_FRAME_SIZE."""
WINDOW: Final = 65_535
"""Bytes of the flow-control window of a connection, and of a stream, until the peer says otherwise."""
WINDOW_MAX: Final = (1 << 31) - 1
"""Bytes of the largest window."""
STREAM_MASK: Final = (1 << 31) - 1
"""Selects a stream identifier: the top bit of its four bytes is reserved and ignored."""

FRAME_HEADER: Final = Struct(">IBI")
"""A frame header: payload length and type in one word (length << 8 | type), flags, stream identifier."""
_WORD: Final = Struct(">I")
_SETTING: Final = Struct(">HI")


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFault(Exception):
    """The peer broke the protocol in a way that ends the connection: it is sent GOAWAY with this code."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):
    """The peer broke the protocol in a way that ends one stream: it is sent RST_STREAM with this code."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return FRAME_HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return the pairs of a SETTINGS payload in order; its length must be a multiple of six bytes."""
    return list(_SETTING.iter_unpack(payload))


def ping(payload: bytes, *, ack: bool = False) -> bytes:
    """Return a PING frame; its payload has eight bytes."""
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last_stream_id: int, code: int, text: str = "") -> bytes:
    """Return a GOAWAY frame: streams up to `last_stream_id` were or may be processed."""
    return frame(GOAWAY, 0, 0, _WORD.pack(last_stream_id) + _WORD.pack(code) + text.encode())


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return an RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame of `increment` bytes; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(increment))


def read_word(payload: bytes) -> int:
    """Return the first four bytes of a payload without the reserved bit: an increment, or a stream identifier."""
    return int.from_bytes(payload[:4]) & STREAM_MASK


def headers(stream_id: int, block: bytes, *, end_stream: bool, frame_bytes: int = FRAME_BYTES) -> bytes:
    """Return a header block as a HEADERS frame and the CONTINUATION frames that it needs."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= frame_bytes:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    out = [frame(HEADERS, flags, stream_id, block[:frame_bytes])]
    for at in range(frame_bytes, len(block), frame_bytes):
        last = at + frame_bytes >= len(block)
        out.append(frame(CONTINUATION, END_HEADERS if last else 0, stream_id, block[at : at + frame_bytes]))
    return b"".join(out)


def unpad(payload: bytes, flags: int) -> bytes:
    """Return the payload of a DATA or HEADERS frame without its padding.

    Raises:
        ConnectionFault: there is more padding than payload.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding is longer than the frame")
    return payload[1 : len(payload) - payload[0]]
