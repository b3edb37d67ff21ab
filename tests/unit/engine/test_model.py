"""The engine against the model, through any sequence of writes, compactions, reclaims, crashes and reopenings."""

from itertools import count
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.mvcc.commit import Commit
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, imported, write

KEYS = st.sampled_from([b"a", b"a\0", b"ab", b"b", b"b\xff", b"\xff", b"\0", b"k" * 127, b"k" * 128, b"l" * 200])
LARGE = {b"zeros": bytes(1500), b"long": b"v" * 3000, b"magic": b"bcB1" * 300}
VALUES = st.one_of(st.binary(max_size=20), st.sampled_from(sorted(LARGE)))
"""Names of large values stand for those, so that a failure can be read."""
Changes = dict[bytes, bytes | None]
CHANGES = st.dictionaries(KEYS, st.one_of(VALUES, st.none()), min_size=1, max_size=4)


class EngineMachine(RuleBasedStateMachine):
    @initialize(
        segment=st.sampled_from([8 << 10, 16 << 10, 64 << 10]),
        alignment=st.sampled_from([512, 4096]),
        zero_ahead=st.sampled_from([0, 2048, 1 << 20]),
        base=st.lists(st.tuples(KEYS, VALUES), max_size=6),
    )
    def open(self, segment: int, alignment: int, zero_ahead: int, base: list[tuple[bytes, bytes]]):
        self.fs = MemoryFileSystem()
        self.options = EngineOptions(
            segment_size=segment,
            alignment=alignment,
            zero_ahead=zero_ahead,
            group_limit=4096,
            garbage_ratio=0.3,
            run_records=3,
        )
        self.model = Model()
        self.reopen()
        for number, (key, value) in enumerate(base):
            commit = Commit(90, compact=90, imported=True, meta={b"checkpoint": b"%d" % number})
            commit.changes.append(imported(key, value, 3, 10 + number, 1 + number))
            write(self.engine, commit)
            self.model.apply(commit)

    def reopen(self):
        self.engine = Engine.open("/d", self.fs, self.options, Random(1))

    def changes(self, state: Model, batch: Changes) -> list[tuple[bytes, bytes | None]]:
        """Deletes of keys that are not live change nothing, so the rules never make them."""
        return [
            (key, LARGE.get(value or b"", value))
            for key, value in batch.items()
            if value is not None or state.get(key) is not None
        ]

    def commits(self, batches: list[Changes], lease: int) -> list[Commit]:
        state, commits = self.model.copy(), []
        for batch in batches:
            changes = self.changes(state, batch)
            if changes:
                commits.append(state.commit(changes, lease=lease))
                state.apply(commits[-1])
        return commits

    @rule(batches=st.lists(CHANGES, min_size=1, max_size=4), lease=st.sampled_from([0, 7, -(2**63), 2**63 - 1]))
    def write_group(self, batches: list[Changes], lease: int):
        commits = self.commits(batches, lease)
        write(self.engine, *commits)
        for commit in commits:
            self.model.apply(commit)

    @rule(batches=st.lists(CHANGES, min_size=1, max_size=5))
    def write_batch_of_revisions(self, batches: list[Changes]):
        seen, wanted = set(), []
        for batch in batches:
            changes = [c for c in self.changes(self.model, batch) if c[0] not in seen]
            seen.update(key for key, _ in changes)
            if changes:
                wanted.append(changes)
        if wanted:
            commit = self.model.commit(*wanted)
            write(self.engine, commit)
            self.model.apply(commit)

    @rule(name=st.sampled_from([b"lease/1", b"lease/2", b"alarm"]), value=st.none() | st.binary(max_size=20))
    def set_record(self, name: bytes, value: bytes | None):
        commit = Commit(self.model.revision, meta={name: value})
        write(self.engine, commit)
        self.model.apply(commit)

    @rule(part=st.floats(0, 1))
    def compact(self, part: float):
        first = max(self.model.compacted, 1)
        revision = first + round(part * (self.model.revision - first))
        if revision > self.model.compacted:
            commit = Commit(self.model.revision, compact=revision)
            write(self.engine, commit)
            self.model.apply(commit)

    @rule(budget=st.sampled_from([1, 300, 4096, 1 << 20]), steps=st.integers(1, 20))
    def reclaim(self, budget: int, steps: int):
        for _ in range(steps):
            if not self.engine.background.reclaim_step(budget):
                break

    @rule(budget=st.sampled_from([1, 1 << 20]), steps=st.integers(1, 20), everything=st.booleans())
    def write_runs(self, budget: int, steps: int, everything: bool):
        for _ in range(steps):
            if not self.engine.background.index_step(budget, everything=everything):
                break

    @rule(budget=st.sampled_from([1, 1 << 20]))
    def defragment(self, budget: int):
        for _ in self.engine.background.defragment(budget):
            pass

    @rule()
    def close_and_open(self):
        self.engine.close()
        self.reopen()

    @rule()
    def kill_and_open(self):
        self.fs = self.fs.clone()
        self.reopen()

    @rule(seed=st.integers(0, 2**32), batches=st.lists(CHANGES, min_size=1, max_size=3), sync=st.integers(0, 8))
    def lose_power_while_writing(self, seed: int, batches: list[Changes], sync: int):
        """Power goes at the given sync, or when all is done; what comes back is the model after some of the writes."""
        commits = self.commits(batches, 0)
        images: list[tuple[int, MemoryFileSystem]] = []
        syncs = count()
        acked = 0

        def power_off() -> None:
            if next(syncs) == sync:
                images.append((acked, self.fs.crash_clone(Random(seed))))

        self.fs.before_sync = power_off
        write(self.engine, *commits)
        acked = len(commits)
        while self.engine.background.index_step(1 << 20):
            pass
        for _ in self.engine.background.defragment(1 << 20):
            pass
        images.append((acked, self.fs.crash_clone(Random(seed))))
        kept, self.fs = images[0]
        self.reopen()
        done = 0
        while self.model.revision < self.engine.view.revision:
            self.model.apply(commits[done])
            done += 1
        assert done >= kept

    @invariant()
    def same(self):
        if hasattr(self, "engine"):
            self.model.check(self.engine, [self.model.compacted, (self.model.compacted + self.model.revision) // 2])

    def teardown(self):
        if hasattr(self, "engine"):
            self.model.check(self.engine)
            self.fs = self.fs.clone()
            self.reopen()
            self.model.check(self.engine)


EngineMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestEngine = EngineMachine.TestCase
