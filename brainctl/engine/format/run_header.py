"""The first block of a run file (docs/formats/run.md)."""

from struct import Struct
from typing import NamedTuple

from crc32c import crc32c

from brainctl.engine.format.record import RESIDUE, crc_bytes
from brainctl.errors import IndexDamaged

MAGIC = b"brainrun"
FORMAT = 2
START = 4096
"""Offset of the first block: the header has the first 4096 bytes for itself."""
_HEADER = Struct("<8sIIQQQqQQ")
_SECTION = Struct("<QQI4x")
SECTIONS = ("filter", "garbage", "state")


def salt(store: int, number: int) -> int:
    """Return the seed of the CRCs of a run: with it, bytes of another run or store never pass."""
    return crc32c(Struct("<8sQQ").pack(MAGIC, store, number))


class OutdatedRun(IndexDamaged):
    """An earlier build wrote a run: it is not damaged, but is rebuilt from the log."""


class Section(NamedTuple):
    """A part of the file that is read whole."""

    offset: int
    length: int
    crc: int


class RunHeader(NamedTuple):
    """The first bytes of a run; a CRC-32C follows them."""

    number: int
    store: int
    size: int
    """Bytes of the file."""
    entries: int
    gains: int
    """The sum of the gains of all entries."""
    root: int
    """Offset of the topmost block; 0 when there are no entries."""
    leaves: int
    """Offset at which leaves and fences end, and the list of leased keys begins."""
    sections: tuple[Section, ...]


def pack_header(header: RunHeader) -> bytes:
    """Return the first block of a run file."""
    number, store, size, entries, gains, root, leaves, sections = header
    body = _HEADER.pack(MAGIC, FORMAT, number, store, size, entries, gains, root, leaves)
    body += b"".join(_SECTION.pack(*section) for section in sections)
    return (body + crc_bytes(crc32c(body))).ljust(START, b"\0")


def unpack_header(block: bytes, path: str) -> RunHeader:
    """Return the header in the first block of the file at `path`.

    Raises:
        IndexDamaged: It is not sound, or of an unknown format.
        OutdatedRun: It is of an earlier format.
    """
    size = _HEADER.size + len(SECTIONS) * _SECTION.size
    if len(block) < START or crc32c(block[: size + 4]) != RESIDUE or block[:8] != MAGIC or any(block[size + 4 :]):
        raise IndexDamaged(f"{path}: the header at offset 0 is damaged")
    _magic, version, number, store, length, entries, gains, root, leaves = _HEADER.unpack_from(block)
    if version < FORMAT:
        raise OutdatedRun(
            f"{path}: format {version} at offset 8 is that of an earlier build, which is not used any more"
        )
    if version != FORMAT:
        raise IndexDamaged(f"{path}: format {version} at offset 8 is not known; this build reads format {FORMAT}")
    sections = tuple(
        Section(*_SECTION.unpack_from(block, _HEADER.size + at * _SECTION.size)) for at in range(len(SECTIONS))
    )
    return RunHeader(number, store, length, entries, gains, root, leaves, sections)
