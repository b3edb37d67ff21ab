"""The end of the log after a crash: an unfinished write, which is cut, or damage, which is refused.

What was being written when the machine stopped is one group of batches, of which any sectors may be missing: they
then hold what was there before, which is zeros, or, in a file that was used before, bytes of a dead segment. Everything
else in the log was durable. So what follows the last sound batch is an unfinished write only if

* no header further on belongs to a later group, since that was written only once this one was durable; and none to an
  earlier batch, which would be in the wrong place; and
* where the space was zeros: the sector of the next batch's header is all zeros, or the header is sound and the batch
  has more zero sectors than were written.
"""

from collections.abc import Callable, Iterator
from mmap import mmap

from brainctl.engine.format import batch as frame
from brainctl.engine.format.batch import BatchHeader
from brainctl.engine.format.batch_reader import find_batches
from brainctl.engine.log.segment import Segment
from brainctl.engine.sector import SECTOR
from brainctl.engine.vfs.filesystem import write_all
from brainctl.errors import StoreDamaged

REACH = 8 << 20
"""Bytes: in a file that was used before, how far behind the last sound batch others are looked for.

No group is longer, and no batch. What lies further on is left of a dead segment; looking at all of it would make
opening slow.
"""
_STEP = 1 << 20
_ZEROS = bytes(_STEP)


def is_clean(data: mmap | bytes, offset: int, seed: int, data_from: Callable[[int], int] = int, *, stale: bool) -> bool:
    """Return whether nothing of a write follows from `offset` on.

    Args:
        data: The segment.
        offset: Where the last sound batch ends.
        seed: The salt of the segment.
        data_from: `File.data_from`, where there is a file: it skips space that was never written.
        stale: Whether the file was another segment before.
    """
    if stale:
        return next(_headers(data, offset, seed, stale=True), None) is None
    while (offset := data_from(offset)) < len(data):
        if data[offset : offset + _STEP] != _ZEROS[: len(data) - offset]:
            return False
        offset += _STEP
    return True


def check_torn(data: mmap | bytes, offset: int, sequence: int, seed: int, path: str, *, stale: bool) -> None:
    """Check that an unfinished write explains why there is no sound batch `sequence` at `offset`.

    Raises:
        StoreDamaged: It does not: something that was durable is damaged.
    """
    header = frame.unpack(data[offset : offset + frame.HEADER_SIZE], seed)
    if header is not None:
        batch = data[offset : offset + frame.HEADER_SIZE + header.length]
        torn = header.sequence == sequence and (stale or frame.zero_sectors(batch) > header.zero_sectors)
    else:
        torn = stale or not any(data[offset : offset + SECTOR])
    if not torn:
        raise StoreDamaged(f"{path}: the batch at offset {offset} is damaged")
    for at, later in _headers(data, offset + SECTOR, seed, stale=stale):
        if later.group > sequence or later.sequence < sequence:
            raise StoreDamaged(f"{path}: the batch at offset {offset} is damaged: the one at offset {at} does not fit")


def cut(part: Segment, offset: int) -> None:
    """Remove an unfinished write from `offset` on, so that nothing of it can come back; durable on return."""
    file, data = part.file, part.mapped
    assert file is not None
    if part.stale:
        for at, _header in list(_headers(data, offset, part.seed, stale=True)):
            write_all(file, _ZEROS[:SECTOR], at)
    else:
        for at in range(offset, len(data), _STEP):
            step = min(_STEP, len(data) - at)
            if data[at : at + step] != _ZEROS[:step]:
                write_all(file, _ZEROS[:step], at)
    file.sync()


def _headers(data: mmap | bytes, offset: int, seed: int, *, stale: bool) -> Iterator[tuple[int, BatchHeader]]:
    """Yield (offset, header) of the sound batch headers of a segment from `offset` on, whatever lies between them."""
    return find_batches(data, seed, offset, offset + REACH + frame.HEADER_SIZE if stale else len(data))
