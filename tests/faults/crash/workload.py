"""A seeded run of everything that writes, which remembers what was handed in and what was acknowledged."""

from random import Random

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.log import manifest
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.mvcc.commit import Commit
from tests.unit.engine.model import Model, write

DIRECTORY = "/d"
OPTIONS = EngineOptions(segment_size=12 << 10, zero_ahead=4096, garbage_ratio=0.3, run_records=6)


class Workload:
    """`models[n]` is the state after n commits; `acknowledged` of them were answered."""

    def __init__(self, seed: int, *, early: bool = False) -> None:
        self.models = [Model()]
        self.acknowledged = 0
        self.engine: Engine | None = None
        self._rng = Random(seed)
        self._early = early

    def run(self, fs: FileSystem, steps: int) -> None:
        """Work on `fs`; `engine` is None while it is not open."""
        self.engine = engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
        for number in range(steps):
            if number % 30 == 20:
                engine.close()
                self.engine = None
                self.engine = engine = Engine.open(DIRECTORY, fs, OPTIONS)
            self._step(engine)

    def _step(self, engine: Engine) -> None:
        kind = self._rng.randrange(13)
        model = self.models[-1]
        if kind < 9:
            self._write(engine, self._rng.choice((1, 1, 1, 3)))
        elif kind == 9 and model.revision > model.compacted + 3:
            self._commit(engine, [Commit(model.revision, compact=model.revision - self._rng.randrange(3))])
        elif kind == 10:
            for _ in range(5):
                engine.background.reclaim_step(4096)
        elif kind == 11:
            for _ in range(self._rng.choice((2, 50))):
                if not engine.background.index_step(4096):
                    break
            if engine.next_segment_due:
                engine.allocate_next_segment()()
        else:
            for _ in engine.background.defragment():
                pass

    def _write(self, engine: Engine, batches: int) -> None:
        rng, state, commits = self._rng, self.models[-1].copy(), []
        for _ in range(batches):
            changes: dict[bytes, bytes | None] = {}
            for _ in range(rng.choice((1, 1, 2, 5))):
                key = b"key/%d" % rng.randrange(12)
                live = state.get(key) is not None
                changes[key] = None if live and rng.random() < 0.25 else rng.randbytes(rng.choice((0, 20, 700)))
            commit = state.commit(list(changes.items()))
            if rng.random() < 0.2:
                commit.meta[b"lease/%d" % rng.randrange(3)] = rng.choice((None, b"ttl"))
            state.apply(commit)
            commits.append(commit)
        self._commit(engine, commits)

    def _commit(self, engine: Engine, commits: list[Commit]) -> None:
        for commit in commits:
            self.models.append(self.models[-1].copy())
            self.models[-1].apply(commit)
        if self._early:
            self.acknowledged = len(self.models) - 1
        write(engine, *commits)
        self.acknowledged = len(self.models) - 1


def check(fs: FileSystem, models: list[Model], acknowledged: int) -> None:
    """What `fs` holds opens as one of the states from the last acknowledged one on, and works.

    AssertionError when it does not; StoreDamaged when it does not open.
    """
    listing = manifest.load(DIRECTORY, fs)
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(2))
    assert [run.number for run in engine._index.runs] == list(listing.runs if listing else ()), "a run was given up"
    model = _found(engine, models[acknowledged:])
    model.check(engine, [model.compacted, model.revision - 1])
    commit = model.commit([(b"after", b"x" * 600)])
    write(engine, commit)
    engine.close()
    after = model.copy()
    after.apply(commit)
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    after.check(engine, [after.compacted])
    engine.close()


def _found(engine: Engine, models: list[Model]) -> Model:
    state = (engine.view.revision, engine.view.compacted, engine.meta(b""))
    for model in models:
        if (model.revision, model.compacted, model.meta) == state:
            return model
    raise AssertionError(f"no state that was handed in since the last acknowledged one is {state}")
