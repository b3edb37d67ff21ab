"""The record of a migration that its target keeps: everything that a new process needs to resume.

It is JSON, so that `brainctl` of any version and a person can read it. Keys are hexadecimal. For example:

    {"format":1,"phase":"copying","cluster":14841639068965178418,"history":"all","base":7,"watermark":7,
     "expected":6607,"keys":2000,"size":812345,"events":0,"resyncs":0,
     "spans":[["2f72656769737472792f70",""]]}

Here 2000 of 6607 keys are copied, and what is left is the span from "/registry/p" on. Only the spans that are still to
be copied are listed, so that the record during the change stream, which is written with every commit, stays below 400
bytes.
"""

from enum import StrEnum
from typing import NamedTuple, Self

import orjson

from brainctl.errors import StoreDamaged
from brainctl.migrate.machine.phases import Phase

FORMAT = 1
"""The format of the record; records with another one are refused."""
_OPTIONAL = ("chosen", "frozen", "raft_term", "raft_index", "witness")
"""Fields that are left out of the JSON while they are empty."""


class History(StrEnum):
    """The part of the source's history that the target gets."""

    ALL = "all"
    """From the oldest revision that the source can still serve."""
    NONE = "none"
    """From the revision that the source has when the copy starts."""


class Span(NamedTuple):
    """Keys that are still to be copied: `start <= key < end`; an empty `end` is no upper bound."""

    start: bytes
    end: bytes


class Record(NamedTuple):
    """The state of a migration once the commit that carries this record is durable."""

    phase: Phase
    cluster: int
    """The source's cluster id: a resume from another source is refused."""
    history: History
    base: int = 0
    """The revision whose state is copied; the target's compacted revision. It moves on during the copy when the source
    compacts it: the keys that are copied then have the state of the new one.
    """
    watermark: int = 0
    """The newest revision of the source that the target holds."""
    expected: int = 0
    """The number of live keys at the base revision that was chosen at the beginning."""
    keys: int = 0
    """The number of keys of the base copied so far."""
    size: int = 0
    """The bytes of the marshalled KeyValues of these keys."""
    events: int = 0
    """The number of events of the change stream applied so far."""
    resyncs: int = 0
    """Number of times that the copy had to start over because the source compacted too early."""
    spans: tuple[Span, ...] = ()
    """The spans of the base that are not copied yet, in key order; empty from CATCHING_UP on."""
    frozen: str = ""
    """The freeze hook of a cutover, from before it runs until the source takes writes again or the target is committed.

    A process that finds it here knows that the source may be frozen.
    """
    raft_term: int = 0
    """The term of the source's Raft log at the last look; 0 when the source does not report it."""
    raft_index: int = 0
    """The index of the source's Raft log at the last look; 0 when the source does not report it."""
    chosen: int = 0
    """The base revision that was chosen at the beginning, when the source compacted it during the copy; otherwise 0."""
    witness: str = ""
    """Digests of the newest few revisions up to the watermark, by which the source is recognised (`Witness`)."""

    def encode(self) -> bytes:
        """Return the JSON form; optional fields are left out while they are empty."""
        fields = {"format": FORMAT, **self._asdict(), "spans": [[start.hex(), end.hex()] for start, end in self.spans]}
        for name in _OPTIONAL:
            if not fields[name]:
                del fields[name]
        return orjson.dumps(fields)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the record from its JSON form.

        Raises:
            StoreDamaged: It is no record, or its format is one that this version does not know.
        """
        try:
            fields = orjson.loads(data)
            found = fields.pop("format")
            if found != FORMAT:
                text = f"the migration record has format {found}; this version reads format {FORMAT}"
                raise StoreDamaged(text).advised("go on with the build that wrote it, or begin anew with --overwrite")
            fields["phase"] = Phase(fields["phase"])
            fields["history"] = History(fields["history"])
            fields["spans"] = tuple(Span(bytes.fromhex(start), bytes.fromhex(end)) for start, end in fields["spans"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            text = f"the migration record cannot be read: {error}"
            raise StoreDamaged(text).advised("--overwrite begins the copy anew") from error
