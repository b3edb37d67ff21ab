"""Which keys a run surely does not hold: a Bloom filter, of which a lookup reads one word."""

from array import array

from crc32c import crc32c

BITS_PER_KEY = 12
_MIX = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1
_TWO_BITS = [1 << (number & 63) | 1 << (number >> 6) for number in range(1 << 12)]


def spread(key: bytes) -> tuple[int, int]:
    """A number of 32 bits that chooses the word of a key in any filter, and the four bits that stand for it there."""
    mixed = (crc32c(key) + 1) * _MIX & _WORD
    mixed = (mixed ^ mixed >> 29) * _MIX & _WORD
    return mixed >> 32, _TWO_BITS[mixed & 4095] | _TWO_BITS[mixed >> 12 & 4095]


def make(keys: int) -> "array[int]":
    """An empty filter for about so many keys."""
    return array("Q", bytes(8 * (keys * BITS_PER_KEY // 64 + 1)))


def add(words: "array[int]", key: bytes) -> None:
    """Note a key."""
    place, bits = spread(key)
    words[place * len(words) >> 32] |= bits
