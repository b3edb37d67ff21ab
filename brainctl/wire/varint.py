"""Encode protobuf's base-128 variable-length integers (protobuf encoding.md, "Base 128 Varints")."""

_MASK64 = (1 << 64) - 1
_SMALL = [bytes((value,)) for value in range(128)]
"""The encodings below 128, made once: nearly all lengths and tags are among them."""
_CONTINUED = [bytes((value | 128,)) for value in range(128)]
"""The first byte of a longer encoding, by the low seven bits."""
_BACKEND = [bytes((value & 127 | 128, value >> 7)) for value in range(1 << 14)]
"""The encodings below 16384, made once, so that the numbers that are common in responses cost one look-up."""


def varint(value: int) -> bytes:
    """Return the encoding of `value`, an int64 or uint64: 1 to 10 bytes. Negative numbers take ten."""
    if 0 <= value < 128:
        return _SMALL[value]
    if 0 <= value < 1 << 14:
        return _BACKEND[value]
    if 0 <= value < 1 << 21:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14))
    if 0 <= value < 1 << 28:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21))
    value &= _MASK64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(first: int, count: int) -> list[bytes]:
    """Return the encodings of `count` consecutive numbers from `first` on, none of which is negative.

    Numbers that differ in the low seven bits alone share the bytes behind the first, which are encoded once for up to
    128 of them.
    """
    last = first + count
    encoded = [varint(value) for value in range(first, min(last, 128))]
    at = max(first, 128)
    while at < last:
        low = at & 127
        high = varint(at >> 7)
        encoded += [each + high for each in _CONTINUED[low : low + last - at]]
        at += 128 - low
    return encoded
