"""Protobuf's base-128 variable-length integers (protobuf encoding.md, "Base 128 Varints")."""

_MASK64 = (1 << 64) - 1
_SMALL = [bytes((value,)) for value in range(128)]
_CONTINUED = [bytes((value | 128,)) for value in range(128)]
_BACKEND = [bytes((value & 127 | 128, value >> 7)) for value in range(1 << 14)]


def varint(value: int) -> bytes:
    """The encoding of `value`, an int64 or uint64: 1 to 10 bytes; negative numbers take ten."""
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
    """The encodings of `count` numbers in a row, from `first` on; none is negative."""
    last = first + count
    encoded = [varint(value) for value in range(first, min(last, 128))]
    at = max(first, 128)
    while at < last:
        low = at & 127
        high = varint(at >> 7)
        encoded += [each + high for each in _CONTINUED[low : low + last - at]]
        at += 128 - low
    return encoded
