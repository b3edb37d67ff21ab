"""A get of one key as it is now: what most reads are, answered from their bytes without a message object."""

from typing import Final

from brainctl.mvcc.range_response_kvs import framed

_KEY_TAG: Final = 0x0A
_LONGEST_KEY: Final = 127
"""Its length is one byte."""
_SERIALIZABLE: Final = b"\x38\x01"


def point_key(request: bytes) -> bytes | None:
    """The key of a marshalled RangeRequest that names one, and nothing else but whether it is serializable; None when
    it may mean something else.
    """
    if len(request) < 3 or request[0] != _KEY_TAG:
        return None
    end = request[1] + 2
    if 2 < end <= _LONGEST_KEY + 2 and (len(request) == end or request[end:] == _SERIALIZABLE):
        return request[2:end]
    return None


def point_response(header: bytes, kv: bytes | None) -> bytes:
    """The marshalled RangeResponse with the one marshalled KeyValue that there is, or with none."""
    return header if kv is None else b"".join((header, *framed([kv]), b"\x20\x01"))
