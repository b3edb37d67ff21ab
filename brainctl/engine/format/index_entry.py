"""What the index keeps of a key, packed into one integer.

An entry is the address of the key's newest version, shifted by SHIFT, and below it what is asked for most: whether
that is a tombstone, whether it has a lease, and the *gain*: by how much the key counts for more in this level of the
index than in those below (+1 a key that is new here, 0 one that was live and still is, -1 one that is deleted here). So
the live keys of a range are the sum of the gains in all levels.
"""

from collections.abc import Sequence

SHIFT = 4
DELETED = 1
LEASED = 2
_GAIN = 2
ONE = 1 << _GAIN
"""What a gain of 1 adds to an entry."""
NONE = 1 << _GAIN
"""The bits of a gain of 0."""
GAIN_MASK = 3 << _GAIN
NEW, DIED = NONE + ONE, NONE - ONE


def gain(entry: int) -> int:
    """-1, 0 or 1."""
    return (entry >> _GAIN & 3) - 1


def gains(entries: Sequence[int]) -> int:
    """The sum of the gains of entries."""
    return sum(map(GAIN_MASK.__and__, entries)) // ONE - len(entries)


def seen_above(entry: int) -> int:
    """What a level starts from that has nothing of its own on a key, when the levels below have `entry`."""
    return entry & ~GAIN_MASK | NONE


def put(old: int | None, address: int, leased: int) -> int:
    """The entry of a new version, upon the entry in the same level."""
    if old is None:
        return address << SHIFT | NEW | leased
    grown = old & GAIN_MASK
    return address << SHIFT | (grown + ONE if old & DELETED else grown) | leased


def delete(old: int | None, address: int) -> int:
    """The entry of a tombstone, upon the entry in the same level."""
    if old is None:
        return address << SHIFT | NONE | DELETED
    grown = old & GAIN_MASK
    return address << SHIFT | (grown if old & DELETED else grown - ONE) | DELETED


def over(new: int, old: int) -> int:
    """One entry for what two levels have on a key."""
    return new - NONE + (old & GAIN_MASK)
