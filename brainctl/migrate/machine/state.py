"""The migration as a state machine without I/O: events in, actions out.

Invariants, which tests/unit/migrate/test_state_property.py checks under crashes at every step:

1. The watermark never goes back, except to a new base after the change stream was lost to a compaction (a resync).
2. From CATCHING_UP on, the target's state at the watermark is the source's state at that revision; before, the keys
   that are copied have the source's state at the base.
3. Each event of the source after the base is applied exactly once.
4. One write is in flight at a time, and the record written with it says what is complete once it is durable.
5. A key's lease is in the target before the key is.
6. Nothing is written once the phase is COMMITTED.
7. While the source may be frozen and the target is not committed, the target's record names the freeze hook.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum

from brainctl.errors import COMPACTED, ApiError
from brainctl.migrate.machine.auth_book import AuthBook
from brainctl.migrate.machine.base_copy import BaseCopy, spans_of
from brainctl.migrate.machine.event_buffer import Backlog, Revisions
from brainctl.migrate.machine.events import (
    Action,
    AdvanceBase,
    Apply,
    AuthRead,
    BaseChosen,
    ChooseBase,
    DropLeases,
    Event,
    FetchLeases,
    Finish,
    Freeze,
    Frozen,
    GiveUp,
    GrantLeases,
    ImportBase,
    LeasesFetched,
    LeasesListed,
    PageCompacted,
    PageRead,
    ReadAuth,
    ReconcileLeases,
    Reset,
    SetAuth,
    SourceAt,
    SourceCompacted,
    Stop,
    Streamed,
    Unfreeze,
    Unfrozen,
    Verified,
    Verify,
    Watch,
    Write,
    Written,
)
from brainctl.migrate.machine.lease_ledger import LeaseBook
from brainctl.migrate.machine.phases import CUTTING_OVER, STREAMING, Phase, Trigger, step
from brainctl.migrate.machine.record import History, Record
from brainctl.migrate.machine.witness import Position, WentBack, Witness

MAX_RESYNCS = 10
"""After this many copies whose change stream was lost to a compaction, the process ends with the compaction's error."""
BEHIND_LOOKS = 8
"""A synced target must have what the source had this many looks ago (two seconds); otherwise it falls behind."""
MAX_FREEZES = 5
"""Number of times that a cutover compares both sides before it is given up, when the source has changed each time."""


class Goal(StrEnum):
    """End of the process by itself."""

    SYNCED = "until-synced"
    FOLLOW = "follow"
    CUTOVER = "cutover"


class Migration:
    """One process's part of a migration, from the state that the target's record describes."""

    def __init__(
        self,
        record: Record,
        held: Iterable[int],
        goal: Goal,
        *,
        clean: bool,
        hook: str = "",
        auth: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Create the state machine.

        Args:
            record: The record of the target.
            held: The ids of the leases that the target holds.
            goal: End of the process by itself.
            clean: Nothing must be removed from the target first.
            hook: The freeze hook of a cutover, or "".
            auth: The target's records of users and roles; None leaves these out of the migration.
        """
        self.record = record
        """The record of the target once the requested writes are durable."""
        self.watermark = record.watermark
        """The newest revision of the source that is durable in the target."""
        self.source = 0
        """The newest revision of the source that was read."""
        self.copied = 0
        """The number of keys of the base that this process wrote."""
        self.applied = 0
        """The number of events of the change stream that this process wrote."""
        self.leases = LeaseBook(held)
        self.auth = AuthBook(auth)
        self.frozen = bool(record.frozen)
        """The source may be frozen, and the target is not known to be committed."""
        self._goal = goal
        self._hook = hook
        self._freeze_due = False
        """Whether to freeze the source once the record that names the hook is durable."""
        self._thawing = False
        """Whether Unfreeze was requested and is not answered yet."""
        self._ending: str | None = None
        """Why the process ends, once the source is unfrozen and the record says so; None while it goes on."""
        self._durable = record
        """The record that the target holds durably."""
        self._dirty = record.phase is Phase.NEW and not clean
        """Whether the target must be emptied before the copy."""
        self._base = BaseCopy(record.spans, record.base, record.resyncs)
        self._backlog = Backlog(record.watermark)
        self._confirmed = False
        """The change stream is open, and the source has proved to be what it was."""
        self._writing: Write | None = None
        """The write in flight; None when there is none."""
        self._fetching = False
        """Whether FetchLeases was requested and is not answered yet."""
        self._read_since_copy = 0
        """The newest revision of the source that was read after the copy: catching up ends there."""
        # The revisions of the source at the last looks, oldest first.
        self._looks: deque[int] = deque(maxlen=BEHIND_LOOKS)
        # Whether ReconcileLeases was requested and is not answered yet.
        self._reconciling = False
        # Whether it was answered since the phase last required it.
        self._reconciled = False
        # The last revision of the frozen source.
        self._last = 0
        # The number of times that the source changed after a freeze of this cutover.
        self._freezes = 0
        # The number of times that this process started the copy over.
        self._resyncs = 0
        self._stopping = False
        self._finished = False
        # The actions that the next `_flush` returns.
        self._out: list[Action] = []

    @property
    def phase(self) -> Phase:
        """Return the phase after the requested writes."""
        return self.record.phase

    @property
    def received(self) -> int:
        """Return the newest revision taken from the stream: a stream that broke is opened again after it."""
        return self._backlog.received

    @property
    def full(self) -> bool:
        """Return whether the reader of the stream should wait for the target."""
        return self._backlog.full

    def begin(self) -> list[Action]:
        """Return the first actions. A source that an earlier process left frozen is unfrozen, or cut over."""
        if self.frozen and self._goal is not Goal.CUTOVER:
            self._unfreeze()
        if self.phase is Phase.COMMITTED:
            self._finish("")
        elif self.phase is Phase.NEW:
            self._choose_base()
        else:
            if self.phase in STREAMING:
                self.record = self.record._replace(phase=Phase.CATCHING_UP)
            self._watch()
        return self._flush()

    def handle(self, event: Event) -> list[Action]:
        """Take one event and return the actions to start now.

        Raises:
            ApiError: COMPACTED, when there were MAX_RESYNCS resyncs already.
            WentBack: The source gave another number of keys than it had when the copy began.
            StreamBroken: The change stream left out a revision.
        """
        match event:
            case BaseChosen() | PageRead() | PageCompacted() | Streamed() | SourceCompacted():
                if event.attempt == self.record.resyncs and not self._finished:
                    self._read(event)
            case SourceAt(revision, term, index):
                self.source = max(self.source, revision)
                self._record_position(term, index)
                if self.phase in STREAMING:
                    self._read_since_copy = self.source
                    self._look(revision)
            case LeasesFetched() | LeasesListed() | AuthRead():
                self._learn(event)
            case Written():
                self._written()
            case Stop():
                self._stop()
            case Frozen() | Verified() | GiveUp():
                self._cut(event)
            case Unfrozen(done):
                self._unfrozen(done=done)
        return self._flush()

    def _learn(self, event: LeasesFetched | LeasesListed | AuthRead) -> None:
        """Take leases or users that were read from the source."""
        match event:
            case AuthRead(records):
                self.auth.read(records)
            case LeasesFetched():
                self._fetching = False
                self.leases.fetched(event)
            case LeasesListed():
                self.leases.listed(event)
                self._reconciling = self._reconciling and not event.final
                self._reconciled = self._reconciled or event.final

    def _record_position(self, term: int, index: int) -> None:
        """Record the position of the source's Raft log; the next write carries it."""
        seen = Position(self.record.raft_term, self.record.raft_index).up_to(Position(term, index))
        if self.phase is not Phase.COMMITTED:
            self.record = self.record._replace(**seen._asdict())

    def _look(self, revision: int) -> None:
        """Note the source's revision, to detect a target that does not keep up."""
        if self.phase is Phase.SYNCED and len(self._looks) == BEHIND_LOOKS and self._looks[0] > self.watermark:
            self._step(Trigger.FELL_BEHIND)
        self._looks.append(revision)

    # Results of reads from the source.

    def _read(self, event: BaseChosen | PageRead | PageCompacted | Streamed | SourceCompacted) -> None:
        """Take what was read from the source in the present attempt."""
        match event:
            case BaseChosen():
                self._begin_copy(event)
            case PageRead():
                self._base.add(event)
            case PageCompacted():
                self._base.compacted(event)
            case Streamed(_, revisions):
                self._confirmed = True
                self._backlog.add(revisions)
                self.source = max(self.source, self._backlog.received)
            case SourceCompacted():
                self._resync()

    def _begin_copy(self, chosen: BaseChosen) -> None:
        """Open the change stream from the revision after the base; the first page is read when it is open."""
        self._step(Trigger.BASE_CHOSEN)
        spans = spans_of(chosen.splits)
        self.record = self.record._replace(
            base=chosen.revision,
            watermark=chosen.revision,
            expected=chosen.keys,
            keys=0,
            size=0,
            spans=spans,
            chosen=0,
            witness="",
        )
        self._base = BaseCopy(spans, chosen.revision, chosen.attempt)
        self._watch()

    def _resync(self) -> None:
        """Start over from the newest revision, which the source will keep longest.

        Raises:
            ApiError: COMPACTED, when there were MAX_RESYNCS resyncs already.
        """
        if self._resyncs == MAX_RESYNCS:
            raise ApiError(COMPACTED)
        self._resyncs += 1
        if self.phase in CUTTING_OVER:
            self._unfreeze()
        self._step(Trigger.COMPACTED)
        self.record = self.record._replace(resyncs=self.record.resyncs + 1, spans=())
        self._dirty = True
        self._reconciling = self._reconciled = False
        self._read_since_copy = 0
        self._choose_base()

    def _choose_base(self) -> None:
        """Request a base revision: the oldest readable one for the whole history, but after a resync the newest."""
        oldest = self.record.history is History.ALL and self.record.resyncs == 0
        self._out.append(ChooseBase(self.record.resyncs, oldest))

    def _watch(self) -> None:
        """Request the change stream from the revision after the watermark."""
        self._backlog = Backlog(self.record.watermark)
        self._confirmed = False
        self._out.append(Watch(self.record.resyncs, self.record.watermark + 1))

    # Writes to the target.

    def _written(self) -> None:
        """Note that the write in flight is durable, and do what depends on it."""
        write, self._writing = self._writing, None
        if write is not None:
            self._durable = write.record
            self._count(write)
        match write:
            case Reset():
                self.leases.forget()
                self.auth.forget()
            case ImportBase(_, record) if record.phase is Phase.CATCHING_UP:
                self.watermark = record.base
            case AdvanceBase(_, record):
                self.watermark = record.watermark
            case Apply(_, record):
                self.watermark = record.watermark
                if record.phase is Phase.COMMITTED:
                    self.frozen = False
                    self._finish("")

    def _count(self, write: Write) -> None:
        """Count what this process has written."""
        match write:
            case ImportBase(kvs, _):
                self.copied += len(kvs)
            case Apply(events, _) | AdvanceBase(events, _):
                self.applied += len(events)

    def _next_write(self) -> Write | None:
        """Return the write that is due, if what it needs is there.

        While both sides are compared, and after the commit, nothing is written.
        """
        if self.phase in {Phase.VERIFYING, Phase.COMMITTED}:
            return None
        if self._dirty:
            self._dirty = False
            return Reset(self.record._replace(phase=Phase.NEW, spans=()))
        if (small := self._next_small()) is not None:
            return small
        if self.phase is Phase.COPYING:
            return self._next_advance() if self._base.revision > self.record.base else self._next_import()
        if self.phase in STREAMING and (apply := self._next_apply()) is not None:
            return apply
        return GrantLeases((), self.record) if self._is_synced_late else None

    @property
    def _is_synced_late(self) -> bool:
        """Return whether the target's record does not say yet that it is synced: it counts as unfinished until then."""
        return self.phase is Phase.SYNCED and self._durable.phase is not Phase.SYNCED

    def _next_small(self) -> Write | None:
        """Return the write of users or leases that is due; None when there is none."""
        if (users := self.auth.take()) is not None:
            return SetAuth(users, self.record)
        if grants := self.leases.take_grants():
            return GrantLeases(grants, self.record)
        return None

    def _next_import(self) -> Write | None:
        """Return the next write of the base, if its pages are read and their leases granted.

        Raises:
            WentBack: The last page is read, and the number of keys is not that of the beginning.
        """
        pages = self._base.peek()
        if pages is None or self._lacks(pages.leases):
            return None
        self._base.discard()
        self.record = self.record._replace(
            keys=self.record.keys + len(pages.kvs), size=self.record.size + pages.size, spans=pages.spans
        )
        if self._base.complete:
            if self.record.keys != self.record.expected and not self.record.chosen:
                raise WentBack(
                    f"at revision {self.record.base} it gave {self.record.keys} keys, and had {self.record.expected} "
                    "when the copy began"
                )
            self._step(Trigger.COPIED)
        return ImportBase(pages.kvs, self.record)

    def _next_apply(self) -> Write | None:
        """Return the next drop of leases or the next revisions to apply, if their leases are granted."""
        if drops := self.leases.take_drops(self.watermark):
            return DropLeases(drops, self.record)
        batch = self._next_revisions(None)
        return Apply(batch.events, self.record) if batch is not None else None

    def _next_advance(self) -> Write | None:
        """Return the next revisions on the way to a newer base: that of the pages which are read, or will be."""
        batch = self._next_revisions(self._base.revision)
        if batch is None:
            return None
        self.record = self.record._replace(base=batch.revision, chosen=self.record.chosen or self.record.base)
        return AdvanceBase(batch.events, self.record)

    def _next_revisions(self, last: int | None) -> Revisions | None:
        """Take the next revisions, up to `last` if it is given, if their leases are granted, and move the watermark."""
        batch = self._backlog.peek(last)
        if batch is None or self._lacks(batch.leases):
            return None
        self.leases.keep(batch.leases, batch.revision)
        self._backlog.discard(batch)
        witness = Witness.decode(self.record.watermark, self.record.witness).extend(batch.reads)
        self.record = self.record._replace(
            watermark=batch.revision, events=self.record.events + len(batch.events), witness=witness.encode()
        )
        return batch

    def _lacks(self, leases: frozenset[int]) -> bool:
        """Return whether leases must be granted first; if so, request them."""
        missing = self.leases.missing(leases)
        if missing and not self._fetching:
            self._fetching = True
            self._out.append(FetchLeases(missing))
        return bool(missing)

    # Steps towards the goal.

    def _settle(self) -> None:
        """Move the phase on as far as the durable state allows."""
        if self._has_caught_up():
            self._step(Trigger.CAUGHT_UP)
            self._looks.clear()
            self._reconciled = False
            self.auth.compare()
        if self.phase is Phase.SYNCED and not self._thawing and self._has_reconciled():
            if self._goal is Goal.SYNCED:
                self._stopping = True
            elif self._goal is Goal.CUTOVER:
                self._cut_over()
        if self._freeze_due and self._writing is None:
            self._freeze_due = False
            self._out.append(Freeze(again=False))
        if self.phase is Phase.DRAINING and self.watermark >= self._last and self._has_reconciled():
            self._step(Trigger.DRAINED)
            self._out.append(Verify(self._last))
        if self._stopping:
            self._end("")

    def _has_caught_up(self) -> bool:
        """Return whether the target durably has the base, and all that the source had after the base was read."""
        if self.phase is not Phase.CATCHING_UP or self._durable.phase in {Phase.NEW, Phase.COPYING}:
            return False
        return self._confirmed and 0 < self._read_since_copy <= self.watermark

    def _cut_over(self) -> None:
        """Freeze the source, once the record says durably that it may be frozen."""
        self._step(Trigger.CUTOVER)
        self.frozen = True
        self._freeze_due = True
        if self._hook:
            self.record = self.record._replace(frozen=self._hook)
            self._start(GrantLeases((), self.record))

    def _has_reconciled(self) -> bool:
        """Return whether leases, users and roles are those of the source; if they were not compared yet, request it."""
        if not self._reconciled and not self._reconciling:
            self._reconciling = True
            self._out.append(ReconcileLeases())
        if self.auth.ask():
            self._out.append(ReadAuth())
        return self._reconciled and self.leases.settled and self.auth.settled and self._writing is None

    def _cut(self, event: Frozen | Verified | GiveUp) -> None:
        """Take an answer during a cutover; ignore one that arrives after the cutover was given up."""
        match event:
            case Frozen(revision) if self.phase is Phase.FREEZING:
                self._step(Trigger.FROZEN)
                self._last = revision
                self._reconciled = False
                self.auth.compare()
            case Verified(revision, _) if self.phase is Phase.VERIFYING and revision != self._last:
                self._move("the source went on taking writes after it was frozen")
            case Verified() if self.phase is Phase.VERIFYING and not self.auth.settled:
                self._move("the users and roles of the source went on changing after it was frozen")
            case Verified(_, differences) if self.phase is Phase.VERIFYING:
                if differences:
                    self._give_up(f"source and target differ in {differences} places")
                    return
                self._step(Trigger.EQUAL)
                self.record = self.record._replace(frozen="")
                self._start(Apply([], self.record))
            case GiveUp(reason) if self.phase in CUTTING_OVER:
                self._give_up(reason)
            case _:
                pass

    def _move(self, why: str) -> None:
        """Freeze, drain and compare again, since the source has changed.

        After MAX_FREEZES times give up for the reason `why`.
        """
        self._freezes += 1
        if self._freezes >= MAX_FREEZES:
            self._give_up(why)
            return
        self._step(Trigger.MOVED)
        self._out.append(Freeze(again=True))

    def _stop(self) -> None:
        """End in order; during a cutover, give it up first."""
        if self.phase in CUTTING_OVER:
            self._give_up("it was interrupted")
        elif self.phase is not Phase.COMMITTED:
            self._stopping = True

    def _give_up(self, reason: str) -> None:
        self._step(Trigger.GIVEN_UP)
        self._end(reason)

    def _unfreeze(self) -> None:
        """Request it once; the next write records the result in the target."""
        self._freeze_due = False
        if not self._thawing:
            self._thawing = True
            self._out.append(Unfreeze())

    def _unfrozen(self, *, done: bool) -> None:
        """Note whether the source takes writes again; the next record says so."""
        self._thawing = False
        if done:
            self.frozen = False
            self.record = self.record._replace(frozen="")

    def _end(self, reason: str) -> None:
        """End when the write in flight is durable, the source unfrozen, and the target's record says so."""
        if self._ending is None:
            self._ending = reason
            if self._goal is Goal.CUTOVER and self.frozen:
                self._unfreeze()
        if self._thawing or self._writing is not None:
            return
        if self._is_synced_late or self._durable.frozen != self.record.frozen:
            self._start(GrantLeases((), self.record))
        else:
            self._finish(reason)

    # Helpers: transitions, and the actions to return.

    def _step(self, trigger: Trigger) -> None:
        self.record = self.record._replace(phase=step(self.phase, trigger))

    def _start(self, write: Write) -> None:
        self._writing = write
        self._out.append(write)

    def _finish(self, reason: str) -> None:
        if not self._finished:
            self._finished = True
            self._out.append(Finish(reason))

    def _flush(self) -> list[Action]:
        """Return what to start now: at most one write, the reads that are due, and the steps towards the goal."""
        if self._ending is None and not self._finished:
            self._settle()
        if self._finished:
            pass
        elif self._ending is not None:
            self._end(self._ending)
        else:
            if self._writing is None and (write := self._next_write()) is not None:
                self._start(write)
            if self.phase is Phase.COPYING and self._confirmed:
                self._out += self._base.reads()
        actions, self._out = self._out, []
        return actions
