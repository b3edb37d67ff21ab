"""The end of the log after a crash: an unfinished write, which is cut, or damage, which is refused.

What was being written when the machine stopped is one group of batches, of which any sectors may be missing: they
then hold the zeros that were there before. Everything else in the log was durable. So what follows the last sound
batch is an unfinished write only if

* the sector of the next batch's header is all zeros, or the header is sound and the batch has more zero sectors
  than were written; and
* no header further on belongs to a later group, since that was written only once this one was durable; and none to an
  earlier batch, which would be in the wrong place.
"""

from mmap import mmap

from brainctl.engine import frame
from brainctl.engine.files import SECTOR, File, write_all
from brainctl.errors import StoreDamaged

_STEP = 1 << 20
_ZEROS = bytes(_STEP)


def is_clean(data: mmap, offset: int) -> bool:
    """Whether nothing but zeros follows."""
    return all(data[at : at + _STEP] == _ZEROS[: min(_STEP, len(data) - at)] for at in range(offset, len(data), _STEP))


def check_torn(data: mmap | bytes, offset: int, sequence: int, seed: int, path: str) -> None:
    """Make sure that an unfinished write explains why there is no sound batch `sequence` at `offset`; StoreDamaged."""
    header = frame.unpack(data[offset : offset + frame.HEADER_SIZE], seed)
    if header is None:
        torn = not any(data[offset : offset + SECTOR])
    else:
        batch = data[offset : offset + frame.HEADER_SIZE + header.length]
        torn = header.sequence == sequence and frame.zero_sectors(batch) > header.zero_sectors
    if not torn:
        raise StoreDamaged(f"{path}: the batch at offset {offset} is damaged")
    at = data.find(frame.MAGIC, offset + SECTOR)
    while at >= 0:
        later = frame.unpack(data[at : at + frame.HEADER_SIZE], seed) if at % SECTOR == 0 else None
        if later is not None and (later.group > sequence or later.sequence < sequence):
            raise StoreDamaged(f"{path}: the batch at offset {offset} is damaged: the one at offset {at} does not fit")
        at = data.find(frame.MAGIC, at + 1)


def cut(file: File, data: mmap, offset: int) -> None:
    """Turn everything from `offset` on to zeros, durably, so that nothing of the unfinished write can come back."""
    for at in range(offset, len(data), _STEP):
        step = min(_STEP, len(data) - at)
        if data[at : at + step] != _ZEROS[:step]:
            write_all(file, _ZEROS[:step], at)
    file.sync()
