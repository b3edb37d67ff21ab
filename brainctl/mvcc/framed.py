"""KeyValues as the field `kvs` of a RangeResponse (field 2): what a list is joined of."""

from brainctl.wire.varint import varint

_HEADS = [b"\x12" + varint(length) for length in range(1 << 14)]
"""Tag and length of the field, by length."""


def framed(kvs: list[bytes]) -> list[bytes]:
    """What the field is once it is joined: for each marshalled KeyValue its tag and length, and itself."""
    # Filled by slices: a loop over tens of thousands of keys would cost as much as reading them.
    parts = [b""] * (2 * len(kvs))
    try:
        parts[::2] = map(_HEADS.__getitem__, map(len, kvs))
    except IndexError:
        parts[::2] = [b"\x12" + varint(len(kv)) for kv in kvs]
    parts[1::2] = kvs
    return parts


def cut(data: bytes, start: bytes, end: bytes | None, limit: int) -> tuple[bytes, int]:
    """Of the field in `data`, in key order, the KeyValues with `start <= key < end`, and how many; `limit` at most when
    that is not 0. Each must begin with its key.
    """
    first: int | None = None
    at, count = 0, 0
    while at < len(data) and not (limit and count == limit):
        length, kv = _varint(data, at + 1)
        key_length, key_at = _varint(data, kv + 1)
        key = data[key_at : key_at + key_length]
        if end is not None and key >= end:
            break
        if key >= start:
            first = at if first is None else first
            count += 1
        at = kv + length
    return (b"", 0) if first is None else (data[first:at], count)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, and where it ends."""
    value = shift = 0
    while data[at] > 127:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1
