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
