"""Which keys a run surely does not hold: a Bloom filter, of which a lookup reads one word."""

from array import array
from collections.abc import Iterable
from zlib import crc32

from crc32c import crc32c

BITS_PER_KEY = 12
_TWO_BITS = [1 << (number & 63) | 1 << (number >> 6) for number in range(1 << 12)]


def spread(key: bytes) -> tuple[int, int]:
    """A number of 32 bits that chooses the word of a key in any filter, and the four bits that stand for it there."""
    check = crc32(key)
    return crc32c(key), _TWO_BITS[check & 4095] | _TWO_BITS[check >> 12 & 4095]


def make(keys: int) -> "array[int]":
    """An empty filter for about so many keys."""
    return array("Q", bytes(8 * (keys * BITS_PER_KEY // 64 + 1)))


def note(words: "array[int]", keys: Iterable[bytes]) -> None:
    """Note keys."""
    keys = list(keys)
    two, size = _TWO_BITS, len(words)
    for place, check in zip(map(crc32c, keys), map(crc32, keys), strict=True):
        words[place * size >> 32] |= two[check & 4095] | two[check >> 12 & 4095]
