"""Find the keys in which two stores differ by the hashes of ever smaller ranges.

Example with parts of 16 384, 512 and 16 keys, and two stores of a million keys of which one is different: 62 hashes of
each side differ in one place; 32 hashes of that part again, and 32 of the part found there; 16 keys are then read.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

from brainctl.mvcc.state_hash import Part
from brainctl.verify.range_hashes import Hashed

PART_KEYS: Final = 16_384
"""The keys of the first, largest parts."""
FANOUT: Final = 32
"""Number of smaller parts that are made of one that differs."""
READ_KEYS: Final = 16
"""A part with no more keys than this is read."""


class Span(NamedTuple):
    """Consecutive keys: equal on both sides, or to be read and compared."""

    start: bytes
    end: bytes
    """The key behind it; empty when there is no upper bound."""
    equal: bool
    keys: int = 0
    """The keys of it; 0 unless it is equal."""
    size: int = 0
    """The bytes of the KeyValues of these keys."""


Both = Callable[[bytes, bytes, int], Awaitable[tuple[Hashed, list[Part]]]]
"""Returns the parts of a range, of about some keys each, as one side has cut them, and the other side's hashes."""


async def narrow(both: Both, start: bytes, end: bytes, keys: int = PART_KEYS) -> AsyncIterator[Span]:
    """Yield the spans of a range, in order.

    Where most parts differ they are to be read at once: hashes of smaller ones would be in vain.
    """
    place, more = start, True
    while more:
        hashed, found = await both(place, end, keys)
        more = hashed.more
        pairs = list(zip(hashed.parts, found, strict=True))
        different = sum(part.digest != other.digest for part, other in pairs)
        read = keys <= READ_KEYS or (keys < PART_KEYS and 2 * different > len(pairs) > 2)
        for part, other in pairs:
            if part.digest == other.digest:
                yield Span(place, part.end, True, part.keys, part.size)
            elif read or part.keys <= READ_KEYS:
                yield Span(place, part.end, False)
            else:
                smaller = max(READ_KEYS, min(keys, part.keys) // FANOUT)
                async for span in narrow(both, place, part.end, smaller):
                    yield span
            place = part.end


async def joined(spans: AsyncIterator[Span]) -> AsyncIterator[Span]:
    """Yield the spans with those that are to be read and follow one another as one."""
    held: Span | None = None
    async for span in spans:
        if held is not None and not span.equal:
            held = held._replace(end=span.end)
        elif not span.equal:
            held = span
        else:
            if held is not None:
                yield held
            held = None
            yield span
    if held is not None:
        yield held
