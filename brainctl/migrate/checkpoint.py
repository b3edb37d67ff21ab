"""The record of a migration that its target keeps: everything a new process needs to go on.

It is JSON, so that `brainctl` of any version and a person can read it. Keys are hexadecimal. For example:

    {"format":1,"phase":"copying","cluster":14841639068965178418,"history":"all","base":7,"watermark":7,
     "expected":6607,"keys":2000,"size":812345,"events":0,"resyncs":0,
     "spans":[["2f72656769737472792f70",""]]}

Only the spans that are still to be copied are listed, so that the record of the change stream, which is written
with every commit, stays below 400 bytes.
"""

from enum import StrEnum
from typing import NamedTuple, Self

import orjson

from brainctl.errors import StoreDamaged
from brainctl.migrate.machine.phases import Phase

FORMAT = 1
_OPTIONAL = ("frozen", "raft_term", "raft_index", "witness")


class History(StrEnum):
    """How much of the source's history the target gets."""

    ALL = "all"
    """From the oldest revision that the source can still serve."""
    NONE = "none"
    """From the revision that the source has when the copy starts."""


class Span(NamedTuple):
    """Keys that are still to be copied: `start <= key < end`; an empty `end` has no upper bound."""

    start: bytes
    end: bytes


class Record(NamedTuple):
    """Where a migration stands once the commit that carries this record is durable."""

    phase: Phase
    cluster: int
    """The source's cluster id: a resume from another source is refused."""
    history: History
    base: int = 0
    """The revision whose state is copied; the target's compacted revision."""
    watermark: int = 0
    """The newest revision of the source that the target holds."""
    expected: int = 0
    """Live keys at the base revision."""
    keys: int = 0
    """Keys of the base copied so far."""
    size: int = 0
    """Marshalled KeyValue bytes of these keys."""
    events: int = 0
    """Events of the change stream applied so far."""
    resyncs: int = 0
    """How often the copy had to start over because the source compacted too early."""
    spans: tuple[Span, ...] = ()
    """What is left of the base, in key order; empty from CATCHING_UP on."""
    frozen: str = ""
    """The freeze hook of a cutover, from before it runs until the source takes writes again or the target is committed.
    A process that finds it here knows that the source may be frozen.
    """
    raft_term: int = 0
    """The term of the source's Raft log when it was last looked at; 0 when it told none."""
    raft_index: int = 0
    """And its index."""
    witness: str = ""
    """Digests of the revisions up to the watermark, the newest few, by which the source is known again (`Witness`)."""

    def encode(self) -> bytes:
        """Return the JSON form; what has a default for its absence is in it only while it is set."""
        fields = {"format": FORMAT, **self._asdict(), "spans": [[start.hex(), end.hex()] for start, end in self.spans]}
        for name in _OPTIONAL:
            if not fields[name]:
                del fields[name]
        return orjson.dumps(fields)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The record of a target; StoreDamaged when it is none, or of a format that this version does not know."""
        try:
            fields = orjson.loads(data)
            found = fields.pop("format")
            if found != FORMAT:
                raise StoreDamaged(f"the migration record has format {found}; this version reads format {FORMAT}")
            fields["phase"] = Phase(fields["phase"])
            fields["history"] = History(fields["history"])
            fields["spans"] = tuple(Span(bytes.fromhex(start), bytes.fromhex(end)) for start, end in fields["spans"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreDamaged(f"the migration record cannot be read: {error}") from error
