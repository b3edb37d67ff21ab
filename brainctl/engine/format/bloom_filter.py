"""A Bloom filter of the keys of a run: it says which ones the run surely does not hold.

All bits of a key lie in one word of 64 bits, so a lookup reads one word. The word of a key is CRC-32C times the number
of words, shifted right by 32, which spreads 32-bit hashes over any number of words. (A modulo would do the same, and
take 0.07 us instead of 0.11 in CPython 3.11, but the files have it so.)
"""

from array import array
from collections.abc import Iterable
from zlib import crc32

from crc32c import crc32c

BITS_PER_KEY = 12
"""Bits of the filter for each key, about."""
# The mask of two bits for each 12 bits of a hash. Two CRCs, which run in hardware or in C, and this table take 0.40 us
# for each key that is merged; a 64-bit multiplication took 0.65 (docs/internals/opening.md).
_TWO_BITS = [1 << (number & 63) | 1 << (number >> 6) for number in range(1 << 12)]


def spread(key: bytes) -> tuple[int, int]:
    """Return the hashes of a key: 32 bits that choose its word in any filter, and the mask of its four bits there."""
    check = crc32(key)
    return crc32c(key), _TWO_BITS[check & 4095] | _TWO_BITS[check >> 12 & 4095]


def make(keys: int) -> "array[int]":
    """Return an empty filter for about `keys` keys."""
    return array("Q", bytes(8 * (keys * BITS_PER_KEY // 64 + 1)))


def add(words: "array[int]", keys: Iterable[bytes]) -> None:
    """Add keys to a filter."""
    keys = list(keys)
    two, size = _TWO_BITS, len(words)
    for place, check in zip(map(crc32c, keys), map(crc32, keys), strict=True):
        words[place * size >> 32] |= two[check & 4095] | two[check >> 12 & 4095]
