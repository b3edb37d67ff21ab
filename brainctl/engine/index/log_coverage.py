"""The part of a run that describes the log it covers, beside the index of it (docs/formats/run.md)."""

import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from brainctl.engine.log.segment import Segment


@dataclass(slots=True)
class Superseded:
    """Versions that a stretch of the log has superseded: addresses, each with the revision that superseded it.

    The columns go together: `revisions[i]` belongs to `addresses[i]`, `grave_revisions[i]` to `graves[i]`.
    """

    revisions: "array[int]" = field(default_factory=lambda: array("Q"))
    addresses: "array[int]" = field(default_factory=lambda: array("Q"))
    grave_revisions: "array[int]" = field(default_factory=lambda: array("Q"))
    graves: "array[int]" = field(default_factory=lambda: array("Q"))
    """Addresses of tombstones; `grave_revisions` has their own revisions."""

    def extend(self, other: "Superseded") -> None:
        """Add what a later stretch of the log has superseded."""
        self.revisions += other.revisions
        self.addresses += other.addresses
        self.grave_revisions += other.grave_revisions
        self.graves += other.graves

    def pack(self) -> bytes:
        """Return its bytes in a run."""
        columns = (self.revisions, self.addresses, self.grave_revisions, self.graves)
        return len(self.addresses).to_bytes(8, "little") + b"".join(column.tobytes() for column in columns)

    @classmethod
    def unpack(cls, data: bytes) -> "Superseded":
        """Return the object whose `pack` returned these bytes."""
        rows = array("Q", data)
        dead = rows[0]
        graves = (len(rows) - 1) // 2 - dead
        ends = (1, 1 + dead, 1 + 2 * dead, 1 + 2 * dead + graves, len(rows))
        return cls(*(rows[first:last] for first, last in pairwise(ends)))


class SegmentState(NamedTuple):
    """A segment as it was at the place in the log that a run covers."""

    generation: int
    first: int
    """Sequence of its first batch."""
    last: int
    end: int
    record_bytes: int
    dead_bytes: int


@dataclass(slots=True)
class LogCoverage:
    """The state of the store at the end of the log that runs cover: an opening replays the log from there."""

    segment: int = 0
    offset: int = 0
    sequence: int = 0
    revision: int = 1
    compacted: int = 0
    meta: dict[bytes, bytes] = field(default_factory=dict)
    segments: dict[int, SegmentState] = field(default_factory=dict)

    @classmethod
    def of(
        cls, segments: Mapping[int, Segment], revision: int, compacted: int, meta: dict[bytes, bytes]
    ) -> "LogCoverage":
        """Create the coverage of a store with these segments, the last of which the log is written to."""
        states = {
            part.number: SegmentState(
                part.generation,
                *part.sequences,
                part.end,
                part.record_bytes,
                part.dead_bytes + part.grave_bytes + part.unswept_bytes,
            )
            for part in segments.values()
        }
        last = segments[max(segments)]
        return cls(last.number, last.end, last.sequences[1], revision, compacted, dict(meta), states)

    def pack(self) -> bytes:
        """Return its bytes in a run: JSON behind its length, then the small records."""
        fields = {
            "segment": self.segment,
            "offset": self.offset,
            "sequence": self.sequence,
            "revision": self.revision,
            "compacted": self.compacted,
            "segments": {str(number): state for number, state in self.segments.items()},
        }
        text = json.dumps(fields).encode()
        lengths = array("I", [len(self.meta), *map(len, self.meta), *map(len, self.meta.values())])
        head = len(text).to_bytes(4, "little")
        return b"".join([head, text, lengths.tobytes(), *self.meta, *self.meta.values()])

    @classmethod
    def unpack(cls, data: bytes) -> "LogCoverage":
        """Return the object whose `pack` returned these bytes."""
        at = 4 + int.from_bytes(data[:4], "little")
        fields = json.loads(data[4:at])
        count = int.from_bytes(data[at : at + 4], "little")
        first = at + 4 + 8 * count
        ends = list(accumulate(array("I", data[at + 4 : first]), initial=first))
        parts = [data[start:end] for start, end in pairwise(ends)]
        return cls(
            fields["segment"],
            fields["offset"],
            fields["sequence"],
            fields["revision"],
            fields["compacted"],
            dict(zip(parts[:count], parts[count:], strict=True)),
            {int(number): SegmentState(*state) for number, state in fields["segments"].items()},
        )
