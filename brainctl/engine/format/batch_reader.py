"""Walks over the batches of a log segment, and over the extents of a packed one.

There is one walk for each. It is strict when it is given the path of the file: then damage is an error that names the
place. Without a path it is forgiving: it ends before what is damaged, and the caller decides what that means.
"""

from collections.abc import Iterator
from mmap import mmap
from typing import Protocol

from crc32c import crc32c

from brainctl.engine.format.batch import HEADER_SIZE, MAGIC, BatchHeader, unpack
from brainctl.engine.format.extent import EXTENT_MAGIC, EXTENT_SIZE, ExtentHeader, unpack_extent
from brainctl.engine.format.record import OVERHEAD
from brainctl.engine.format.segment_header import DATA
from brainctl.engine.sector import SECTOR
from brainctl.errors import StoreDamaged


class Sliced(Protocol):
    """Bytes that are read by slices: a map, bytes, or a window that reads the file as it goes."""

    def __getitem__(self, place: slice, /) -> bytes:
        """Return the bytes from `place.start` to `place.stop`; fewer at the end."""


def batches(
    data: Sliced, seed: int, offset: int, end: int, *, records: bool = False, path: str = ""
) -> Iterator[tuple[int, BatchHeader]]:
    """Yield (offset, header) of the batches that follow each other from `offset` to `end`.

    Args:
        data: The segment.
        seed: The salt of the segment.
        offset: The place of the first batch.
        end: Where to end.
        records: Check the records of each batch, too.
        path: The file, for the error about what is damaged; without it the walk ends there.

    Raises:
        StoreDamaged: With a path: a header is not sound, or records that are to be checked.
    """
    header_of, check = unpack, crc32c
    while offset < end:
        place = offset + HEADER_SIZE
        header = header_of(data[offset:place], seed)
        if header is None:
            if path:
                raise StoreDamaged(f"{path}: the batch header at offset {offset} is damaged")
            return
        if records and check(data[place : place + header.length], seed) != header.crc:
            if path:
                raise StoreDamaged(f"{path}: the records at offset {place} are damaged")
            return
        yield offset, header
        offset += header.span


def extents(
    data: Sliced, seed: int, offset: int, end: int, *, records: bool = False, path: str = ""
) -> Iterator[tuple[int, ExtentHeader]]:
    """Yield (offset, header) of the extents that follow each other, as `batches` does; their addresses ascend."""
    address = DATA
    while offset < end:
        place = offset + EXTENT_SIZE
        header = unpack_extent(data[offset:place], seed)
        if header is None or header.address < address or header.length < OVERHEAD:
            if path:
                raise StoreDamaged(f"{path}: the extent header at offset {offset} is damaged")
            return
        if records and crc32c(data[place : place + header.length], seed) != header.crc:
            if path:
                raise StoreDamaged(f"{path}: the records at offset {place} are damaged")
            return
        yield offset, header
        address = header.address + header.length
        offset = place + header.length


def find_batches(data: mmap | bytes, seed: int, offset: int, end: int) -> Iterator[tuple[int, BatchHeader]]:
    """Yield (offset, header) of all sound batch headers between two offsets, whatever lies between them."""
    at = data.find(MAGIC, offset, end)
    while at >= 0:
        header = unpack(data[at : at + HEADER_SIZE], seed) if at % SECTOR == 0 else None
        if header is not None:
            yield at, header
        at = data.find(MAGIC, at + 1, end)


def find_extents(data: mmap | bytes, seed: int, offset: int, end: int) -> Iterator[tuple[int, ExtentHeader]]:
    """Yield (offset, header) of all sound extent headers between two offsets, whatever lies between them."""
    at = data.find(EXTENT_MAGIC, offset, end)
    while at >= 0:
        header = unpack_extent(data[at : at + EXTENT_SIZE], seed)
        if header is not None:
            yield at, header
        at = data.find(EXTENT_MAGIC, at + 1, end)
