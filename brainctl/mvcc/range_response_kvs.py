"""KeyValues as the field `kvs` of a RangeResponse (field 2): the byte strings that are joined to answer a list."""

from brainctl.wire.varint import varint

_HEADS = [b"\x12" + varint(length) for length in range(1 << 14)]
"""Tag and length of the field, by length: for KeyValues below 16 KiB a lookup replaces the encoding of a varint."""


def framed(kvs: list[bytes]) -> list[bytes]:
    """Return for each marshalled KeyValue its tag and length, then itself; joined, they are the field `kvs`."""
    # Filled by slices and `map`, which run in C: 0.07 us a key. A Python loop takes 0.21, as much as reading the keys.
    parts = [b""] * (2 * len(kvs))
    try:
        parts[::2] = map(_HEADS.__getitem__, map(len, kvs))
    except IndexError:
        parts[::2] = [b"\x12" + varint(len(kv)) for kv in kvs]
    parts[1::2] = kvs
    return parts
