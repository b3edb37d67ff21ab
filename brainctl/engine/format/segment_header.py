"""The first block of a segment file (docs/formats/segment.md)."""

from struct import Struct
from typing import NamedTuple

from crc32c import crc32c

from brainctl.engine.format.record import RESIDUE, crc_bytes
from brainctl.errors import StoreDamaged, StoreTooNew

MAGIC = b"brainseg"
FORMAT = 1
LOG, PACKED, RECYCLED = 0, 1, 2
"""Kinds of segment in the file header. RECYCLED is a LOG segment in a file that was another segment before."""
_HEADER = Struct("<8sHHIIIQQQQ")
DATA = 4096
"""Offset at which batches or extents begin: the file header has the first block for itself."""


class FileHeader(NamedTuple):
    """The first bytes of a segment file; a CRC-32C follows them."""

    kind: int
    number: int
    generation: int
    """0 for a LOG segment, one more each time it is packed."""
    extents: int
    """Number of extents of a PACKED segment."""
    store: int
    """Identity of the store."""
    end: int
    """LOG: the size of the file. PACKED: where the last extent ends, which is the size of the file too."""
    first: int
    """PACKED: the lowest sequence of the batches that the LOG segment held; 0 when it held none."""
    last: int
    """PACKED: the highest sequence."""


def pack_header(header: FileHeader) -> bytes:
    """Return the first block of a segment file."""
    kind, number, generation, extents, store, end, first, last = header
    body = _HEADER.pack(MAGIC, FORMAT, kind, number, generation, extents, store, end, first, last)
    return (body + crc_bytes(crc32c(body))).ljust(DATA, b"\0")


def unpack_header(block: bytes, path: str) -> FileHeader:
    """Return the header in the first block of the file at `path`.

    Raises:
        StoreDamaged: It is not sound.
        StoreTooNew: A later build wrote it.
    """
    size = _HEADER.size
    if len(block) < DATA:
        raise StoreDamaged(f"{path}: the file ends at offset {len(block)}, inside its header")
    if crc32c(block[: size + 4]) != RESIDUE or block[:8] != MAGIC or any(block[size + 4 : DATA]):
        raise StoreDamaged(f"{path}: the header at offset 0 is damaged")
    _magic, version, *fields = _HEADER.unpack_from(block)
    if version != FORMAT:
        raise StoreTooNew(f"{path}: format {version} at offset 8 is of a later build; this one reads format {FORMAT}")
    return FileHeader(*fields)


def is_recycled(file: bytes) -> bool:
    """Return whether a log segment lies in a file that was another segment before, by the bytes of its header."""
    return int.from_bytes(file[10:12], "little") == RECYCLED
