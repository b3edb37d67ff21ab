"""The header before the records of one extent of a PACKED segment (docs/formats/segment.md)."""

from struct import Struct
from typing import NamedTuple

from crc32c import crc32c

EXTENT_MAGIC = b"bcX1"
_EXTENT = Struct("<4sIIIII")
EXTENT_SIZE = _EXTENT.size


class ExtentHeader(NamedTuple):
    """The header before the records of an extent."""

    length: int
    crc: int
    """CRC-32C of the records, seeded with the salt of the segment."""
    address: int
    """Offset at which the first record was first written; the others followed it directly."""
    records: int


def pack_extent(extent: ExtentHeader, seed: int) -> bytes:
    """Return the header of an extent, with its CRC."""
    fields = _EXTENT.pack(EXTENT_MAGIC, 0, *extent)[8:]
    return EXTENT_MAGIC + crc32c(fields, seed).to_bytes(4, "little") + fields


def unpack_extent(data: bytes, seed: int) -> ExtentHeader | None:
    """Return the extent header in the first bytes of `data`, None when there is no sound one."""
    if data[:4] != EXTENT_MAGIC or crc32c(data[8:EXTENT_SIZE], seed) != int.from_bytes(data[4:8], "little"):
        return None
    _magic, _crc, *fields = _EXTENT.unpack_from(data)
    return ExtentHeader(*fields)
