"""The header blocks of responses, and whole small responses, as constant bytes."""

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Final

from brainctl.wire import frames
from brainctl.wire.grpc import PREFIX_BYTES

# Response blocks. The first HEADERS and the first trailers put their field into the peer's table, after which the
# blocks of a response are three bytes, each an index: it is 39 bytes with a message of 4, and packed from constants.
# Index 62 is the newest entry, which is grpc-status once both are in; content-type is then 63.
HEAD_LITERAL: Final = b"\x88\x0f\x10\x10application/grpc"
HEAD_INSERT: Final = b"\x88\x5f\x10application/grpc"
HEAD_NEWEST: Final = b"\x88\xbe"
HEAD_INDEXED: Final = b"\x88\xbf"
TAIL_LITERAL: Final = b"\x00\x0bgrpc-status\x010"
TAIL_INSERT: Final = b"\x40\x0bgrpc-status\x010"
TAIL_INDEXED: Final = b"\xbe"
EMPTY_TABLE: Final = b"\x20"

SMALL: Final = 1024
"""Bytes of the largest message, with its prefix, whose response is packed with one call."""
REPLY_HEAD: Final = len(HEAD_INDEXED).to_bytes(3) + bytes((frames.HEADERS, frames.END_HEADERS))
REPLY_TAIL: Final = len(TAIL_INDEXED).to_bytes(3) + bytes((frames.HEADERS, frames.END_HEADERS | frames.END_STREAM))


@cache
def reply_of(size: int) -> tuple[Callable[..., bytes], bytes, bytes]:
    """Return how to pack the whole response to a message that has `size` bytes with its prefix.

    These are the packing function for a time when both blocks are in the peer's table, the bytes between the stream
    numbers of HEADERS and DATA, and the prefix. They are computed once per size, and then a response takes one call
    of 0.32 us instead of one for each of its three frames, 1.7 us together.
    """
    middle = HEAD_INDEXED + size.to_bytes(3) + bytes((frames.DATA, 0))
    whole = Struct(f">{len(REPLY_HEAD)}sI{len(middle)}sI{PREFIX_BYTES}s{size - PREFIX_BYTES}s{len(REPLY_TAIL)}sIc")
    return whole.pack, middle, (size - PREFIX_BYTES).to_bytes(PREFIX_BYTES)
