"""The inputs (events) and outputs (actions) of the state machine; both are plain values.

Reads of the source carry the `attempt` they belong to: the number of resyncs when they were requested. What arrives
from an earlier attempt is ignored.
"""

from typing import NamedTuple

from brainctl.migrate.machine.record import Record

Lease = tuple[int, int, int]
"""Lease id, granted TTL, remaining TTL; the TTLs are in seconds."""


# Events.


class BaseChosen(NamedTuple):
    """The answer to ChooseBase."""

    attempt: int
    revision: int
    splits: tuple[bytes, ...]
    """Keys that cut the key space into spans of similar size, in order."""
    keys: int
    """The number of live keys at the base revision."""


class PageRead(NamedTuple):
    """The answer to ReadPage: the first keys of its span."""

    attempt: int
    span: int
    revision: int
    """The revision as of which the keys were read."""
    kvs: list[bytes]
    """Marshalled KeyValues, in key order."""
    size: int
    """The bytes of `kvs`."""
    leases: frozenset[int]
    """The leases that these keys are attached to."""
    next: bytes
    """The first key of the rest of the span; empty when there is no rest."""


class PageCompacted(NamedTuple):
    """The answer to ReadPage when the source has compacted its revision."""

    attempt: int
    span: int


class RevisionRead(NamedTuple):
    """One whole revision of the change stream; without events it only says that nothing is missing up to here."""

    revision: int
    events: list[bytes]
    """Marshalled mvccpb.Events, in order, without prev_kv."""
    size: int
    leases: frozenset[int]


class Streamed(NamedTuple):
    """Whole revisions of the change stream, in order. Some may have been delivered before."""

    attempt: int
    revisions: list[RevisionRead]


class SourceCompacted(NamedTuple):
    """The base was compacted before it was chosen, or a revision of the change stream before it was delivered."""

    attempt: int


class SourceAt(NamedTuple):
    """The source's revision, read just now, and the position of its Raft log (zeros when it has none, or does not
    report it).
    """

    revision: int
    raft_term: int = 0
    raft_index: int = 0


class LeasesFetched(NamedTuple):
    """The answer to FetchLeases: those of the leases that the source knows."""

    asked: tuple[int, ...]
    found: tuple[Lease, ...]


class LeasesListed(NamedTuple):
    """All leases of the source, as it had them at `revision` or later."""

    revision: int
    live: frozenset[int]
    held: frozenset[int]
    """The leases that the target held when the list was requested."""
    details: tuple[Lease, ...]
    """The leases to grant anew in the target."""
    final: bool
    """Whether this answers ReconcileLeases."""


class AuthRead(NamedTuple):
    """The source's users, roles and switch of authentication, as the small records that a store keeps.

    Also the answer to ReadAuth.
    """

    records: dict[bytes, bytes]


class Written(NamedTuple):
    """The last write action is durable in the target."""


class Frozen(NamedTuple):
    """The source takes no more writes; `revision` is its last."""

    revision: int


class Verified(NamedTuple):
    """Source and target were compared; afterwards the source was at `revision`."""

    revision: int
    differences: int


class Unfrozen(NamedTuple):
    """The answer to Unfreeze."""

    done: bool
    """The source takes writes again; False when there is no unfreeze hook, or it failed."""


class GiveUp(NamedTuple):
    """The cutover cannot go on."""

    reason: str


class Stop(NamedTuple):
    """The user wants the process to end."""


Event = (
    BaseChosen
    | PageRead
    | PageCompacted
    | Streamed
    | SourceCompacted
    | SourceAt
    | LeasesFetched
    | LeasesListed
    | AuthRead
    | Written
    | Frozen
    | Verified
    | Unfrozen
    | GiveUp
    | Stop
)
"""The inputs of the state machine."""


# Actions: reads of the source.


class ChooseBase(NamedTuple):
    """Choose the base revision, and cut the key space; answered by BaseChosen."""

    attempt: int
    oldest: bool
    """Whether the base is the oldest readable revision; otherwise it is the newest."""


class ReadPage(NamedTuple):
    """Read the next keys of a span; answered by PageRead or PageCompacted."""

    attempt: int
    span: int
    start: bytes
    end: bytes
    revision: int
    """The revision to read at; 0 for the newest, which no compaction can refuse."""


class Watch(NamedTuple):
    """Follow the change stream from `start` on; answered by Streamed again and again, or SourceCompacted."""

    attempt: int
    start: int


class FetchLeases(NamedTuple):
    """Look up leases; answered by LeasesFetched."""

    ids: tuple[int, ...]


class ReconcileLeases(NamedTuple):
    """Read all leases with their TTLs; answered by a final LeasesListed."""


class ReadAuth(NamedTuple):
    """Read users, roles and the switch of authentication; answered by AuthRead."""


# Actions: writes to the target, one at a time, each answered by Written.


class Reset(NamedTuple):
    """Remove all data of the target."""

    record: Record


class ImportBase(NamedTuple):
    """Add keys of the base."""

    kvs: list[bytes]
    record: Record


class AdvanceBase(NamedTuple):
    """Apply revisions to the keys that are copied; the last of them becomes the base revision, as in the record."""

    events: list[bytes]
    record: Record


class Apply(NamedTuple):
    """Append revisions; the last of them is the record's watermark."""

    events: list[bytes]
    record: Record


class GrantLeases(NamedTuple):
    """Grant leases; without any it writes only the record."""

    leases: tuple[Lease, ...]
    record: Record


class DropLeases(NamedTuple):
    """Remove leases."""

    ids: tuple[int, ...]
    record: Record


class SetAuth(NamedTuple):
    """Replace users, roles and the switch of authentication."""

    records: dict[bytes, bytes]
    record: Record


Write = Reset | ImportBase | AdvanceBase | Apply | GrantLeases | DropLeases | SetAuth
"""The actions that write to the target."""


# Actions: the cutover, and the end.


class Freeze(NamedTuple):
    """Stop the writes to the source; answered by Frozen or GiveUp."""

    again: bool
    """The source was frozen before and has taken writes since."""


class Verify(NamedTuple):
    """Compare both sides at `revision`; answered by Verified."""

    revision: int


class Unfreeze(NamedTuple):
    """End the freeze hook or the comparison, and let the source take writes again; answered by Unfrozen."""


class Finish(NamedTuple):
    """End the process, once the write that may be in flight is durable."""

    reason: str
    """Why it ends early; empty when it reached its goal."""


Action = (
    ChooseBase
    | ReadPage
    | Watch
    | FetchLeases
    | ReconcileLeases
    | ReadAuth
    | Write
    | Freeze
    | Verify
    | Unfreeze
    | Finish
)
"""The outputs of the state machine."""
