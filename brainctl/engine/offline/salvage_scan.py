"""Walk through a segment file that may be damaged: what is intact in it, and the holes in between.

Opening a store stops at the first byte that is not as it was written; this continues behind it. A record has a CRC and
its own address, so it is recognised wherever it is found (docs/internals/recovery.md).
"""

import errno
from collections.abc import Iterator
from typing import NamedTuple

from crc32c import crc32c

from brainctl.engine.format import batch
from brainctl.engine.format.batch import BatchHeader
from brainctl.engine.format.batch_reader import find_batches, find_extents
from brainctl.engine.format.extent import EXTENT_SIZE, ExtentHeader, unpack_extent
from brainctl.engine.format.record import KIND, META_REMOVE, OVERHEAD, RESIDUE, header_of, read_place
from brainctl.engine.format.segment_header import DATA, LOG, is_recycled
from brainctl.engine.sector import SECTOR
from brainctl.engine.vfs.filesystem import File, FileSystem

_PIECE = 1 << 20
"""Bytes that are read from a device at a time."""
_BLOCK = 4096
"""Bytes that are read at a time where the device fails to read a whole piece."""


class Batch(NamedTuple):
    """A batch whose header is intact; its records follow."""

    offset: int
    header: BatchHeader


class Extent(NamedTuple):
    """An extent whose header is intact; its records follow."""

    offset: int
    header: ExtentHeader


class Record(NamedTuple):
    """An intact record."""

    offset: int
    """Offset in the file, in bytes."""
    address: int
    """The offset at which it was first written."""
    data: bytes


class Hole(NamedTuple):
    """Bytes that are not what was written there."""

    offset: int
    end: int
    tail: bool = False
    """Whether no intact batch follows in the file: it may be an unfinished write."""


class Unused(NamedTuple):
    """Zeros to the end of the file; in a file that was another segment before, what that has left there."""

    offset: int
    end: int
    stale: bool = False
    """Whether it is the latter, so that it does not show where the log ends."""


Piece = Batch | Extent | Record | Hole | Unused


def read_file(fs: FileSystem, path: str) -> tuple[bytes, list[tuple[int, int]]]:
    """Return all of a file, and (offset, end) of what the device could not read, which is given as zeros.

    Raises:
        OSError: it cannot be opened, or a read fails with another error than EIO.
    """
    file = fs.open(path, write=False)
    try:
        size, lost = file.size(), list[tuple[int, int]]()
        pieces = [_read(file, at, min(_PIECE, size - at), lost) for at in range(0, size, _PIECE)]
        return b"".join(pieces), lost
    finally:
        file.close()


def _read(file: File, offset: int, length: int, lost: list[tuple[int, int]]) -> bytes:
    """Return bytes of a file, with zeros for blocks that the device cannot read, which are added to `lost`."""
    try:
        data = file.read(length, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        if length > _BLOCK:
            return b"".join(
                _read(file, at, min(_BLOCK, offset + length - at), lost)
                for at in range(offset, offset + length, _BLOCK)
            )
        lost.append((offset, offset + length))
        return bytes(length)
    return data.ljust(length, b"\0")


def scan(data: bytes, kind: int, seed: int) -> Iterator[Piece]:
    """Yield everything behind the header of a segment file of that kind, in the order of the file."""
    return _log(data, seed) if kind == LOG else _packed(data, seed)


def _log(data: bytes, seed: int) -> Iterator[Piece]:
    """Yield the pieces of a log segment."""
    at, size, newest = DATA, len(data), 0
    while at < size:
        header = batch.unpack(data[at : at + batch.HEADER_SIZE], seed)
        end = at + header.span if header is not None else size
        if header is not None and batch.HEADER_SIZE + header.length <= header.span and end <= size:
            yield Batch(at, header)
            newest = header.revision
            place = at + batch.HEADER_SIZE
            yield from _sift(data, place, place + header.length, 0)
            at = end
            continue
        following = next((place for place, _ in find_batches(data, seed, at + 1, size)), 0)
        if is_recycled(data) and not following:
            yield from _newer(_sift(data, at, size, 0), newest)
            yield Unused(at, size, stale=True)
            return
        end = following or len(data[at:].rstrip(b"\0")) + at
        if end == at:
            yield Unused(at, size)
            return
        for piece in _sift(data, at, end, 0):
            if not isinstance(piece, Hole):
                yield piece
            elif not _padding(data, piece, at):
                yield piece._replace(tail=not following)
        at = following or size


def _newer(pieces: Iterator[Record | Hole], revision: int) -> Iterator[Record]:
    """Yield those records behind the end of the log that cannot be of an earlier segment."""
    for piece in pieces:
        if isinstance(piece, Record) and 0 < revision < header_of(piece.data).mod_revision:
            yield piece


def _padding(data: bytes, hole: Hole, start: int) -> bool:
    """Return whether a hole is the zeros between the last record of a batch and the next sector."""
    return hole.offset > start and hole.end - hole.offset < SECTOR and not any(data[hole.offset : hole.end])


def _packed(data: bytes, seed: int) -> Iterator[Piece]:
    """Yield the pieces of a packed segment."""
    at, address, size = DATA, DATA, len(data)
    while at < size:
        header = unpack_extent(data[at : at + EXTENT_SIZE], seed)
        place = at + EXTENT_SIZE
        if header is not None and header.address >= address and place + header.length <= size:
            yield Extent(at, header)
            yield from _sift(data, place, place + header.length, header.address - place)
            at, address = place + header.length, header.address + header.length
        else:
            end = next((found for found, _ in find_extents(data, seed, at + 1, size)), size)
            yield from _sift(data, at, end, None)
            at = end


def _sift(data: bytes, start: int, end: int, shift: int | None) -> Iterator[Record | Hole]:
    """Yield the intact records between two offsets, and the holes.

    Args:
        data: the file.
        start: the first offset.
        end: the offset behind the last.
        shift: the distance from a record's offset to its address; None when that is not known.
    """
    at = start
    while at < end:
        record = _record(data, at, end, shift)
        if record is None:
            following = _next_record(data, at + 1, end, shift)
            yield Hole(at, following)
            at = following
        else:
            yield record
            at += len(record.data)


def _record(data: bytes, at: int, end: int, shift: int | None) -> Record | None:
    """Return the record at an offset, None when there is no intact one."""
    if at + OVERHEAD > end:
        return None
    length, address = read_place(data, at)
    if not OVERHEAD < length <= end - at or (address != at + shift if shift is not None else address < DATA):
        return None
    record = data[at : at + length]
    if record[KIND] > META_REMOVE or crc32c(record) != RESIDUE:
        return None
    return Record(at, address, record)


def _next_record(data: bytes, at: int, end: int, shift: int | None) -> int:
    """Return where the next intact record begins, or `end`. It is found by the three zeros in its header, which a
    search for bytes finds faster than an attempt at each offset.
    """
    zeros = data.find(b"\0\0\0", at + KIND + 1, end)
    while zeros >= 0:
        if _record(data, zeros - KIND - 1, end, shift) is not None:
            return zeros - KIND - 1
        zeros = data.find(b"\0\0\0", zeros + 1, end)
    return end
