"""What an opening has to read stays small, whatever else is under way; and what it looks at behind the log."""

from pathlib import Path
from random import Random

import pytest

from brainctl.engine.background.background_work import BackgroundWork
from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.format.file_names import run_name
from brainctl.engine.index import run_merge as merging
from brainctl.engine.log import torn_write as tear
from brainctl.engine.offline.check import check
from brainctl.engine.recovery.log_replay import BATCH_RECORDS
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.mvcc.commit import Commit
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, write

RUN_RECORDS = 200
PUTS = 20
"""In each batch."""


class Store:
    def __init__(self, options: EngineOptions) -> None:
        self.fs, self.model, self.options = MemoryFileSystem(), Model(), options
        self.engine = Engine.open("/d", self.fs, options, Random(1))
        self.rng = Random(2)

    def put(self, *changes: tuple[bytes, bytes]) -> None:
        commit = self.model.commit(*([change] for change in changes))
        write(self.engine, commit)
        self.model.apply(commit)

    def put_some(self) -> None:
        self.put(*((b"%0200d" % number, b"v") for number in self.rng.sample(range(100_000), PUTS)))

    def reopened(self) -> Engine:
        engine = Engine.open("/d", self.fs.clone(), self.options)
        self.model.check(engine, [])
        return engine


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_PAGE", 8)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("budget", [1500, 1700, 1900, 2000, 2100, 2300])
def test_a_delta_has_its_turn_while_runs_are_merged(budget: int):
    store = Store(EngineOptions(segment_size=1 << 20, zero_ahead=0, run_records=RUN_RECORDS))
    merges = most = last = 0
    while merges < 2:
        store.put_some()
        for work in store.engine.background.index(budget):
            runs = len(store.engine._index.runs)
            merges, last = merges + (runs < last), runs
            work()
            assert {run_name(number) for number in store.engine._manifest._runs} <= set(store.fs.names("/d"))
            store.put_some()
            most = max(most, store.engine.background.new_records)
    each = PUTS + BATCH_RECORDS
    assert most < 2 * RUN_RECORDS, "the delta waited for a merge"
    assert store.reopened().background.new_records < 3 * RUN_RECORDS + each
    assert not check("/d", store.fs.clone()).findings


@pytest.mark.usefixtures("small_pages")
def test_the_control_of_it_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        BackgroundWork, "_much_is_new", lambda work: work.new_records >= RUN_RECORDS and not work._indexing.busy
    )
    with pytest.raises(AssertionError, match="waited"):
        test_a_delta_has_its_turn_while_runs_are_merged(2000)


def test_the_size_of_a_store_is_that_of_its_files(tmp_path: Path):
    engine = Engine.open(tmp_path, options=EngineOptions(segment_size=1 << 20, zero_ahead=0))
    model = Model()
    for number in range(50):
        commit = model.commit([(b"%d" % number, b"v" * 300)])
        write(engine, commit)
        model.apply(commit)
    before = engine.size
    while engine.background.index_step(1 << 20, everything=True):
        pass
    runs = sum(path.stat().st_size for path in tmp_path.glob("*.run"))
    assert engine.size == before + runs > before
    engine.close()


def test_a_batch_that_is_longer_than_an_opening_looks_ahead_has_a_segment_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tear, "REACH", 4096)
    store = Store(EngineOptions(segment_size=16 << 10, zero_ahead=0))
    for length in (100, 3000, 5000, 100, 20_000, 100, 6000):
        store.put((b"key/%d" % length, b"v" * length))
    for part in store.engine._segments.values():
        longest = max(span.end - span.place for span in part.spans())
        assert part.size > 16 << 10 or longest <= 4096
        assert not part.stale
    store.reopened()


def test_what_lies_far_behind_the_log_of_a_used_file_is_not_looked_at(monkeypatch: pytest.MonkeyPatch):
    """The log goes on there without having read all of it; what lies near is looked at, and refused."""
    monkeypatch.setattr(tear, "REACH", 8192)
    store = Store(EngineOptions(segment_size=64 << 10, zero_ahead=0))
    store.put((b"key", b"value"))
    part = store.engine._segments[1]
    batch = part.mapped[4096 : part.end]
    for distance, clean in ((9 << 10, True), (4 << 10, False)):
        data = bytearray(part.mapped[: part.size])
        data[part.end + distance : part.end + distance + len(batch)] = batch
        assert tear.is_clean(bytes(data), part.end, part.seed, stale=True) == clean


def test_space_that_was_never_written_is_not_read(tmp_path: Path):
    file = OsFileSystem().create(str(tmp_path / "file"))
    file.allocate(1 << 20)
    file.write(b"x" * 4096, 0)
    file.sync()
    path = tmp_path / "file"
    assert file.data_from(0) == 0
    behind = file.data_from(4096)
    assert behind >= 4096
    assert not any(path.read_bytes()[4096:behind]), "only zeros may be passed over"
    file.write(b"y", 600_000)
    assert file.data_from(4096) <= 600_000
    assert path.stat().st_size == 1 << 20
    file.fetch(0)
    file.close()


def test_commits_of_nothing_are_counted_too():
    store = Store(EngineOptions(segment_size=64 << 10, zero_ahead=0, run_records=30))
    while not store.engine.background.index_due:
        write(store.engine, Commit(store.engine.view.revision, meta={b"name": b"value"}))
    assert store.engine._segments[1].sequences[1] == 10
