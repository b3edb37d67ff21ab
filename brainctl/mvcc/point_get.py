"""A get of one key as it is now: what most reads are. It is parsed and answered as bytes, without a message object."""

from typing import Final

from brainctl.mvcc.range_response_kvs import framed

_KEY_TAG: Final = 0x0A
_LONGEST_KEY: Final = 127
"""Bytes: up to this length the varint of a key's length has one byte."""
_SERIALIZABLE: Final = b"\x38\x01"


def point_key(request: bytes) -> bytes | None:
    """Return the key of a marshalled RangeRequest that names one key, and at most `serializable` beside it.

    None for any other request: it may mean something else, and must be parsed.
    """
    if len(request) < 3 or request[0] != _KEY_TAG:
        return None
    end = request[1] + 2
    if 2 < end <= _LONGEST_KEY + 2 and (len(request) == end or request[end:] == _SERIALIZABLE):
        return request[2:end]
    return None


def point_response(header: bytes, kv: bytes | None) -> bytes:
    """Return the marshalled RangeResponse with one marshalled KeyValue, or, for None, with none."""
    return header if kv is None else b"".join((header, *framed([kv]), b"\x20\x01"))
