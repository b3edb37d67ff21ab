"""A migration under random writes, compactions, crashes, repeated and reordered deliveries."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from brainctl.migrate.machine.events import AuthRead
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import History
from brainctl.migrate.machine.state import Goal
from tests.unit.migrate.world import World

KEYS = st.sampled_from([b"/a", b"/b", b"/c", b"/d", b"/e", b"/f", b"\xff\xff"])
LEASES = st.integers(0, 4)
ACCOUNTS = st.sampled_from([b"auth/user/a", b"auth/role/b"])


class MigrationMachine(RuleBasedStateMachine):
    world: World

    @initialize(
        goal=st.sampled_from([Goal.SYNCED, Goal.CUTOVER]),
        history=st.sampled_from(list(History)),
        keys=st.sets(KEYS),
        compact=st.booleans(),
    )
    def begin(self, goal: Goal, history: History, keys: set[bytes], compact: bool) -> None:
        world = self.world = World(goal, history)
        for key in sorted(keys):
            world.source.write({key: (b"first", 0)}, set())
        if compact:
            world.source.compact(world.source.revision)
        self.watermark = 0

    @rule(key=KEYS, value=st.binary(max_size=3), lease=LEASES)
    def put(self, key: bytes, value: bytes, lease: int) -> None:
        self.world.source.write({key: (value, lease)}, set())

    @rule(puts=st.sets(KEYS), deletes=st.sets(KEYS, min_size=1))
    def transact(self, puts: set[bytes], deletes: set[bytes]) -> None:
        self.world.source.write(dict.fromkeys(puts, (b"txn", 0)), deletes)

    @rule(lease=st.integers(1, 4), ttl=st.integers(1, 100))
    def grant(self, lease: int, ttl: int) -> None:
        self.world.source.leases.setdefault(lease, ttl)

    @rule(lease=st.integers(1, 4))
    def revoke(self, lease: int) -> None:
        self.world.source.revoke(lease)

    @rule(back=st.integers(0, 5))
    def compact(self, back: int) -> None:
        self.world.source.compact(self.world.source.revision - back)

    @rule(index=st.integers(0, 5))
    def act(self, index: int) -> None:
        if self.world.waiting:
            self.world.do(index)

    @rule(count=st.integers(1, 4), back=st.integers(0, 3))
    def stream(self, count: int, back: int) -> None:
        self.world.stream(count, back)

    @rule()
    def poll(self) -> None:
        self.world.poll()

    @rule()
    def list_leases(self) -> None:
        self.world.tell(self.world.list_leases())

    @rule(
        name=st.sampled_from([b"auth/user/a", b"auth/role/b"]),
        record=st.none() | st.binary(max_size=2),
        told=st.booleans(),
    )
    def change_accounts(self, name: bytes, record: bytes | None, told: bool) -> None:
        self.world.source.accounts.pop(name, None)
        if record is not None:
            self.world.source.accounts[name] = record
        if told:
            self.world.tell(AuthRead(dict(self.world.source.accounts)))

    @rule(written=st.booleans())
    def crash(self, written: bool) -> None:
        self.world.crash(written=written)

    @invariant()
    def target_is_the_source_at_the_watermark(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        # A process that is about to end has seen the source as it was; the next one sees it as it is.
        world.start()
        if world.migration.phase is Phase.COMMITTED:
            world.check()
            return
        world.run()
        world.check()
        assert world.target.revision == world.source.revision
        assert world.target.accounts == world.source.accounts
        assert {lease: ttl for lease, (ttl, _) in world.target.granted.items()} == world.source.leases
        if world.goal is Goal.CUTOVER:
            assert world.migration.phase is Phase.COMMITTED


TestMigration = MigrationMachine.TestCase
TestMigration.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
