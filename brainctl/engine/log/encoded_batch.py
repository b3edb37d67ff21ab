"""A commit that has its place in the log, but is not written yet."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from crc32c import crc32c

from brainctl.engine.format import batch as frame
from brainctl.engine.format.batch import BatchHeader
from brainctl.engine.log.segment import Segment


@dataclass(slots=True)
class EncodedBatch:
    """A batch with its place in the log; batches are written in the order in which they were encoded."""

    segment: Segment
    offset: int
    header: BatchHeader
    """`crc`, `group` and `zero_sectors` are filled in when it is written."""
    parts: list[bytes]
    """The records."""
    addresses: list[int]
    """The addresses of the commit's changes, in order."""
    fresh: bool
    """Whether all changes are puts without leases, of distinct keys of which the store has no version."""
    version_bytes: int
    """Bytes of `parts` that are versions of keys."""
    payload_bytes: int
    """Bytes of the KeyValues as they were handed in."""
    joined: list[bytes] = field(default_factory=list)
    """Records of a large batch once more, in a few pieces that are quickly joined. Else empty."""


@dataclass(slots=True)
class LogEnd:
    """The end of the log: where the next batch goes, and the state that it follows."""

    revision: int = 1
    compacted: int = 0
    sequence: int = 0
    """The sequence of the last batch."""
    number: int = 0
    """The number of the newest segment file."""
    tail: Segment | None = None
    offset: int = 0
    """Offset in `tail` at which the next batch begins."""
    spares: list[Segment] = field(default_factory=list)
    """Empty segments that are ready to be used, in order."""
    obsolete: list[Segment] = field(default_factory=list)
    """Empty segments that were passed over, and will not be used."""
    meta: dict[bytes, bytes] = field(default_factory=dict)
    """The small records."""


def seal(batch: EncodedBatch, group: int) -> bytes:
    """Return the bytes of a batch, its checks filled in and padded to its span."""
    records = b"".join(batch.joined or batch.parts)
    seed = batch.segment.seed
    header = batch.header._replace(group=group, crc=crc32c(records, seed))
    data = frame.pack(header, seed) + records
    zeros = frame.zero_sectors(data)
    if zeros:
        data = frame.pack(header._replace(zero_sectors=zeros), seed) + records
    return data.ljust(header.span, b"\0")


def groups(batches: Iterable[EncodedBatch], limit: int) -> list[list[EncodedBatch]]:
    """Split batches into groups that are written with one sync: all in one segment, and not more than `limit` bytes.

    A single batch that is larger is a group of its own.
    """
    found: list[list[EncodedBatch]] = []
    size = 0
    for batch in batches:
        size += batch.header.span
        if found and found[-1][0].segment is batch.segment and size <= limit:
            found[-1].append(batch)
        else:
            found.append([batch])
            size = batch.header.span
    return found
