"""A migration between models, its steps in any order: what the driver does with sockets, without any."""

from brainctl.errors import ApiError
from brainctl.etcdpb import kv_pb2 as kvpb
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
    GrantLeases,
    ImportBase,
    LeasesFetched,
    LeasesListed,
    PageCompacted,
    PageRead,
    ReadAuth,
    ReadPage,
    ReconcileLeases,
    Reset,
    RevisionRead,
    SetAuth,
    SourceAt,
    SourceCompacted,
    Streamed,
    Unfreeze,
    Unfrozen,
    Verified,
    Verify,
    Watch,
    Write,
    Written,
)
from brainctl.migrate.machine.phases import STREAMING, Phase
from brainctl.migrate.machine.record import History, Record, Span
from brainctl.migrate.machine.state import Goal, Migration
from brainctl.stores.store import Checkpoint
from tests.unit.migrate.model import SourceModel, TargetModel, now

PAGE_KEYS = 2


class World:
    """A source, a target, and the process of the moment that migrates from one to the other."""

    def __init__(self, goal: Goal = Goal.SYNCED, history: History = History.ALL) -> None:
        self.source = SourceModel()
        self.target = TargetModel()
        self.goal = goal
        self.history = history
        self.epoch = 0
        self.waiting: list[Action] = []
        self.watch: Watch | None = None
        self.finished: Finish | None = None
        self.frozen = False
        self.start()

    def start(self) -> None:
        """A new process takes over."""
        stored = now(self.target.checkpoint())
        record = Record.decode(stored.state) if stored else Record(Phase.NEW, 7, self.history)
        if record.phase in STREAMING:
            assert self.target.revision == record.watermark
        clean = now(self.target.is_empty())
        self.epoch += 1
        now(self.target.take_over(Checkpoint("run", self.epoch, record.encode())))
        self.migration = Migration(
            record, now(self.target.leases()), self.goal, clean=clean, auth=self.target.accounts, hook="stop"
        )
        self.waiting, self.watch, self.finished = [], None, None
        self._take(self.migration.begin())

    def tell(self, event: Event) -> None:
        if self.finished is None:
            self._take(self.migration.handle(event))

    def _take(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Watch):
                self.watch = action
            elif isinstance(action, Finish):
                self.finished = action
            else:
                self.waiting.append(action)
        writes = [action for action in self.waiting if isinstance(action, Write)]
        assert len(writes) <= 1, "two writes at a time"

    # Steps: one action done, and its answer delivered.

    def do(self, index: int) -> None:
        """Carry out one of the actions that wait."""
        action = self.waiting.pop(index % len(self.waiting))
        if isinstance(action, Write):
            self.write(action)
            self.tell(Written())
        elif isinstance(action, ReadAuth):
            self.tell(AuthRead(dict(self.source.accounts)))
        elif isinstance(action, Verify):
            self.tell(AuthRead(dict(self.source.accounts)))
            self.tell(self.read(action))
            if self.migration.phase is Phase.COMMITTED:
                assert self.target.accounts == self.source.accounts, "users changed while both sides were compared"
        else:
            self.tell(self.read(action))

    def write(self, action: Write) -> None:
        checkpoint = Checkpoint("run", self.epoch, action.record.encode())
        match action:
            case Reset():
                now(self.target.reset(checkpoint))
            case ImportBase(kvs, record):
                now(self.target.import_base(kvs, record.base, checkpoint))
            case AdvanceBase(events, record):
                now(self.target.advance_base(events, record.base, checkpoint))
            case Apply(events, record):
                now(self.target.apply(events, record.watermark, checkpoint))
            case GrantLeases(leases, _):
                now(self.target.import_leases(leases, checkpoint))
            case DropLeases(ids, _):
                now(self.target.drop_leases(ids, checkpoint))
            case SetAuth(records, _):
                now(self.target.import_auth(records, checkpoint))

    def read(self, action: Action) -> Event:
        match action:
            case ChooseBase(attempt, oldest):
                base = max(self.source.compacted, 1) if oldest else self.source.revision
                keys = sorted(self.source.states[base])
                return BaseChosen(attempt, base, tuple(keys[1::3]), len(keys))
            case ReadPage():
                return self._page(action)
            case FetchLeases(ids):
                return LeasesFetched(ids, tuple((i, self.source.leases[i], 1) for i in ids if i in self.source.leases))
            case ReconcileLeases():
                return self.list_leases(final=True)
            case Freeze() | Unfreeze():
                self.frozen = isinstance(action, Freeze)
                return Frozen(self.source.revision) if self.frozen else Unfrozen(done=True)
            case Verify(revision):
                differences = self.target.keys != self.source.live(revision)
                return Verified(self.source.revision, int(differences))
        raise AssertionError(action)

    def _page(self, action: ReadPage) -> Event:
        revision = action.revision or self.source.revision
        try:
            self.source.check(revision)
        except ApiError:
            return PageCompacted(action.attempt, action.span)
        live = self.source.live(revision)
        keys = [key for key in sorted(live) if action.start <= key and (not action.end or key < action.end)]
        page = keys[:PAGE_KEYS]
        following = page[-1] + b"\0" if len(keys) > len(page) else b""
        kvs = [live[key] for key in page]
        return PageRead(action.attempt, action.span, revision, kvs, sum(map(len, kvs)), leases_of(kvs), following)

    def list_leases(self, *, final: bool = False) -> LeasesListed:
        live = self.source.leases
        held = frozenset(self.migration.leases.held)
        details = tuple((i, ttl, ttl) for i, ttl in live.items() if final or i not in held)
        return LeasesListed(self.source.revision, frozenset(live), held, details, final)

    def stream(self, count: int, back: int = 0) -> None:
        """The watch delivers up to `count` revisions, beginning `back` before what was received."""
        if self.watch is None or self.migration.full:
            return
        first = max(self.watch.start, self.migration.received + 1 - back)
        try:
            self.source.check(first)
        except ApiError:
            self.tell(SourceCompacted(self.watch.attempt))
            return
        numbers = range(first, min(first + count, self.source.revision + 1))
        self.tell(Streamed(self.watch.attempt, [self._revision(number) for number in numbers]))

    def _revision(self, number: int) -> RevisionRead:
        events = self.source.events(number)
        leases = leases_of([change.kv for change in self.source.changes[number]])
        return RevisionRead(number, events, sum(map(len, events)), leases)

    def poll(self) -> None:
        self.tell(SourceAt(self.source.revision))

    def crash(self, *, written: bool) -> None:
        """kill -9: the write under way reaches the target or not, all else is forgotten."""
        for action in self.waiting:
            if isinstance(action, Write) and written:
                self.write(action)
        self.start()

    def run(self) -> None:
        """Go on undisturbed until the goal is reached."""
        for _ in range(10_000):
            if self.finished is not None:
                return
            if self.waiting:
                self.do(0)
            self.stream(3)
            self.poll()
        raise AssertionError(f"the migration does not end: {self.migration.record}")

    # What must hold.

    def check(self) -> None:
        """The target is the source as it was at the watermark, event by event."""
        stored = self.target.stored
        assert stored is not None
        record = Record.decode(stored.state)
        assert record.frozen or record.phase is Phase.COMMITTED or not self.frozen, "nobody knows that it is frozen"
        if self.finished is not None:
            assert not record.frozen, "it ended and left the source frozen"
        if record.phase is Phase.COPYING and record.keys:
            copied = {key for key in self.target.keys if not _is_left(key, record.spans)}
            live = self.source.live(record.base)
            assert {key: self.target.keys[key] for key in copied} == {
                key: kv for key, kv in live.items() if not _is_left(key, record.spans)
            }
        if record.phase not in STREAMING | {Phase.COMMITTED}:
            return
        assert record.watermark == self.target.revision
        assert self.target.keys == self.source.live(self.target.revision)
        assert leases_of(list(self.target.keys.values())) <= self.target.granted.keys()
        numbers = range(self.target.base + 1, self.target.revision + 1)
        expected = [event for number in numbers for event in self.source.events(number)]
        assert self.target.history == expected


def _is_left(key: bytes, spans: tuple[Span, ...]) -> bool:
    """Whether a key is still to be copied."""
    return any(span.start <= key and (not span.end or key < span.end) for span in spans)


def leases_of(kvs: list[bytes]) -> frozenset[int]:
    return frozenset(lease for kv in kvs if (lease := kvpb.KeyValue.FromString(kv).lease))
