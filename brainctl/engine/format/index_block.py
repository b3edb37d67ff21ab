"""The blocks of a run file: sorted keys with a number each, and their CRC (docs/formats/run.md).

The blocks form a B-tree: leaves have the entries of keys, the fences above them say where the blocks below begin.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from mmap import mmap
from struct import Struct
from typing import NamedTuple

from crc32c import crc32c

from brainctl.errors import IndexDamaged

_HEADER = Struct("<IIII")
"""CRC, level, number of keys, bytes of keys."""
HEADER_SIZE = _HEADER.size
LEASED_KEYS = 0xFFFF
"""The level of blocks that list the leased keys once more."""
_PLACE = Struct("<Q")


class IndexBlock(NamedTuple):
    """A block: a leaf has level 0, fences over leaves 1 and up."""

    level: int
    keys: list[bytes]
    numbers: "array[int]"
    """Leaf: entries. Fence: offsets of the blocks below."""
    gains: "array[int]"
    """Fence: the sum of the gains of all keys of the run before the block below. Leaf: empty."""
    end: int
    """Offset at which the next block begins."""


def pack(
    level: int, keys: Sequence[bytes], numbers: "array[int]", gains: "array[int]", offset: int, salt: int
) -> bytes:
    """Return the bytes of a block that is to lie at `offset` of the file whose CRCs have the salt `salt`."""
    names = b"".join(keys)
    ends = array("I", accumulate(map(len, keys)))
    columns = numbers.tobytes() + gains.tobytes() + ends.tobytes()
    body = _HEADER.pack(0, level, len(keys), len(names))[4:] + columns + names
    return crc32c(body, _seed(salt, offset)).to_bytes(4, "little") + body


def unpack(data: mmap, offset: int, salt: int, path: str) -> IndexBlock:
    """Return the block at `offset`, checked.

    Raises:
        IndexDamaged: The bytes are not a sound block.
    """
    if offset + HEADER_SIZE <= len(data):
        crc, level, count, size = _HEADER.unpack_from(data, offset)
        columns = 2 if 0 < level < LEASED_KEYS else 1
        width = count * (8 * columns + 4)
        end = offset + HEADER_SIZE + width + size
        if end <= len(data):
            body = data[offset + 4 : end]
            if crc32c(body, _seed(salt, offset)) == crc:
                return _parse(body, level, count, columns, end)
    raise IndexDamaged(f"{path}: the block at offset {offset} is damaged")


def _parse(body: bytes, level: int, count: int, columns: int, end: int) -> IndexBlock:
    """Return the block whose bytes, without the CRC, are `body`; it was checked."""
    at = HEADER_SIZE - 4
    numbers, gains, ends = array("Q"), array("q"), array("I")
    numbers.frombytes(body[at : at + 8 * count])
    at += 8 * count
    if columns == 2:
        gains.frombytes(body[at : at + 8 * count])
        at += 8 * count
    ends.frombytes(body[at : at + 4 * count])
    names = body[at + 4 * count :]
    keys = [names[first:last] for first, last in zip(chain((0,), ends), ends, strict=False)]
    return IndexBlock(level, keys, numbers, gains, end)


def _seed(salt: int, offset: int) -> int:
    return crc32c(_PLACE.pack(offset), salt)
