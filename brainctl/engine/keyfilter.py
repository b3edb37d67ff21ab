"""Which keys a run surely does not hold: a Bloom filter, of which a lookup reads one word."""

from array import array

from crc32c import crc32c

BITS_PER_KEY = 12
_MIX = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def spread(key: bytes) -> int:
    """64 bits of a key: the word is chosen by the upper half, the bits in it by the lower."""
    mixed = (crc32c(key) + 1) * _MIX & _WORD
    return (mixed ^ mixed >> 29) * _MIX & _WORD


def mask(mixed: int) -> int:
    """The four bits of a word that stand for a key."""
    return 1 << (mixed & 63) | 1 << (mixed >> 6 & 63) | 1 << (mixed >> 12 & 63) | 1 << (mixed >> 18 & 63)


def make(keys: int) -> "array[int]":
    """An empty filter for about so many keys."""
    return array("Q", bytes(8 * (keys * BITS_PER_KEY // 64 + 1)))


def add(words: "array[int]", key: bytes) -> None:
    """Note a key."""
    mixed = spread(key)
    words[(mixed >> 32) * len(words) >> 32] |= mask(mixed)
