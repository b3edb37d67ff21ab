"""What reclaim must not do, however tempting; what it gives back, and how it writes."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.vfs.filesystem import BLOCK, File, OsFileSystem
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import put_version, tombstone
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Changes, Model, author, write

OPTIONS = EngineOptions(segment_size=16 << 10, zero_ahead=0, garbage_ratio=0.5)


def test_a_deleted_key_does_not_come_back():
    """The tombstone lies in a segment that is worth rewriting, and what it deletes in an older one that is not."""
    fs, model = MemoryFileSystem(), Model()
    engine = Engine.open("/d", fs, OPTIONS, Random(1))

    def put(*changes: Changes) -> None:
        commit = model.commit(*changes)
        write(engine, commit)
        model.apply(commit)

    put([(b"deleted", b"v" * 1000)])
    for number in range(7):
        put([(b"stays/%d" % number, b"v" * 1000)])
    put([(b"deleted", None)])
    for _ in range(14):
        put([(b"often", b"v" * 1000)])
    compaction = Commit(model.revision, compact=model.revision)
    write(engine, compaction)
    model.apply(compaction)
    while engine.background.reclaim_step(1 << 20):
        pass
    assert "/d/00000002-1.seg" in fs.paths(), "the tombstone's segment was not rewritten"
    assert "/d/00000001-0.seg" in fs.paths(), "the older segment was rewritten too"
    model.check(engine)
    model.check(Engine.open("/d", fs.clone(), OPTIONS))
    for _ in engine.background.defragment():
        pass
    model.check(Engine.open("/d", fs.clone(), OPTIONS))


def test_a_tombstone_at_the_compacted_revision_is_still_delivered():
    fs, model = MemoryFileSystem(), Model()
    engine = Engine.open("/d", fs, OPTIONS, Random(1))
    for value in (b"one", None):
        commit = model.commit([(b"k", value)])
        write(engine, commit)
        model.apply(commit)
    compaction = Commit(model.revision, compact=model.revision)
    write(engine, compaction)
    model.apply(compaction)
    for _ in engine.background.defragment():
        pass
    [revision] = engine.view.history(3, 3)
    assert [change.version for change in revision.changes] == [0]
    model.check(Engine.open("/d", fs.clone(), OPTIONS))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("reopened", [False, True])
def test_what_is_dead_is_as_long_as_its_records(seed: int, *, reopened: bool):
    """Sizes that were noted when a version was superseded, and those that have to be read after an opening."""
    fs, model, rng = MemoryFileSystem(), Model(), Random(seed)
    engine = Engine.open("/d", fs, OPTIONS, Random(1))
    for number in range(150):
        if reopened and number == 100:
            engine.close()
            engine = Engine.open("/d", fs, OPTIONS)
        key = b"key/%d" % rng.randrange(12)
        value = None if model.get(key) and rng.random() < 0.2 else rng.randbytes(rng.choice((0, 30, 900)))
        commit = model.commit([(key, value)], lease=rng.choice((0, 7)))
        if number % 40 == 30:
            commit.compact = commit.revision
        write(engine, commit)
        model.apply(commit)
        if rng.random() < 0.3:
            engine.background.reclaim_step(4096)
    while engine.background.reclaim_step(1 << 20):
        pass
    found = 0
    for segment in engine._segments.values():
        assert segment.dead_bytes == sum(map(segment.length_at, segment.dead))
        assert segment.grave_bytes == sum(map(segment.length_at, segment.graves))
        found += len(segment.dead) + len(segment.graves)
    assert found


# -- on files ---------------------------------------------------------------------------------------------------

LARGE = EngineOptions(segment_size=2 << 20, zero_ahead=64 << 10)
KEYS = 8000
VALUE = 1024


class Watched(OsFileSystem):
    """Notes (path, offset, length) of every write."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, int, int]] = []

    def create(self, path: str) -> File:  # type: ignore[override]
        return _WatchedFile(super().create(path), path, self.writes)


class _WatchedFile:
    def __init__(self, inner: File, path: str, writes: list[tuple[str, int, int]]) -> None:
        self._inner, self._path, self._writes = inner, path, writes

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def write(self, data: bytes, offset: int) -> int:
        taken = self._inner.write(data, offset)
        self._writes.append((self._path, offset, taken))
        return taken

    def write_through(self, data: bytes, offset: int) -> int:
        taken = self._inner.write_through(data, offset)
        self._writes.append((self._path, offset, taken))
        return taken


def fill(engine: Engine, keys: Iterator[int] | range, *, delete: bool = False) -> None:
    numbers = list(keys)
    for first in range(0, len(numbers), 100):
        commit = Commit(engine.view.revision)
        for number in numbers[first : first + 100]:
            key = b"key/%08d" % number
            before = engine.view.get(key)
            commit.revision += 1
            if delete:
                commit.changes.append(tombstone(key, commit.revision, 0))
            else:
                value = b"%08d" % commit.revision * (VALUE // 8)
                commit.changes.append(put_version(key, value, 0, commit.revision, 0, before))
            commit.before.append(before)
        write(engine, commit)


def compact(engine: Engine) -> None:
    write(engine, Commit(engine.view.revision, compact=engine.view.revision))


def blocks(directory: Path) -> int:
    """Bytes that the files take up."""
    return sum(file.stat().st_blocks * 512 for file in directory.iterdir())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine.open(tmp_path, options=LARGE)
    yield engine
    engine.close()


def test_space_after_a_full_run_is_hardly_more_than_what_lives(engine: Engine, tmp_path: Path):
    fill(engine, range(KEYS))
    fill(engine, range(0, KEYS, 2))
    fill(engine, range(0, KEYS, 3), delete=True)
    compact(engine)
    for _ in engine.background.defragment():
        pass
    live = sum(len(found.key) + VALUE for found in engine.view.versions(b"", None, 0))
    assert live > 5 << 20
    prepared = LARGE.segment_size  # the segment in which the log goes on
    assert blocks(tmp_path) - prepared <= 1.15 * live


def test_space_returns_without_a_full_run(engine: Engine, tmp_path: Path):
    """80 % of the keys are deleted, in stretches as namespaces are, and what is left is compacted."""
    fill(engine, range(KEYS))
    before = blocks(tmp_path)
    fill(engine, (number for number in range(KEYS) if number % 1000 < 800), delete=True)
    compact(engine)
    written = engine.stats.reclaim_bytes
    while engine.background.reclaim_step(1 << 20):
        pass
    spares = LARGE.spare_segments * LARGE.segment_size
    assert blocks(tmp_path) - spares - LARGE.segment_size <= 0.3 * before
    stats = engine.stats
    assert stats.reclaim_bytes - written < stats.reclaimed_bytes, "more was written than given back"


def test_reclaim_writes_large_aligned_pieces_and_nothing_in_place(tmp_path: Path):
    fs = Watched()
    engine = Engine.open(tmp_path, fs, LARGE)
    fill(engine, range(KEYS))
    fill(engine, range(0, KEYS, 3))
    compact(engine)
    before = {file.name for file in tmp_path.iterdir() if file.suffix == ".seg"}
    del fs.writes[:]
    for _ in engine.background.reclaim(256 << 10, everything=True):
        _()
    packed = [write for write in fs.writes if write[0].endswith("-1.seg")]
    large = [write for write in packed if write[2] >= 64 << 10 and write[1] % BLOCK == 0 == write[2] % BLOCK]
    total = sum(length for _, _, length in packed)
    assert total > 5 << 20
    assert sum(length for _, _, length in large) >= 0.95 * total
    touched = {Path(path).name for path, _, _ in fs.writes}
    assert not touched & before, "a segment was written in place"
    ends = dict[str, int]()
    for path, offset, length in packed:
        assert offset >= ends.get(path, 0) or offset == 0, "something was written twice"
        ends[path] = max(ends.get(path, 0), offset + length)
    engine.close()


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path):
    """All that is done again is the segment that was being rewritten."""

    def prepare(directory: Path) -> Engine:
        engine = Engine.open(directory, options=LARGE)
        fill(engine, range(KEYS))
        fill(engine, range(0, KEYS, 2))
        compact(engine)
        return engine

    whole = prepare(tmp_path / "whole")
    for _ in whole.background.defragment():
        pass
    needed = whole.stats.reclaim_bytes
    whole.close()
    engine, total, openings = prepare(tmp_path / "cut"), 0, 0
    for openings in range(1, 100):
        done = _run(
            engine.background.defragment(256 << 10), 30 + openings
        )  # the index comes first, and is written whole
        total += engine.stats.reclaim_bytes
        engine.close()
        engine = Engine.open(tmp_path / "cut", options=LARGE)
        if done:
            break
    assert 2 < openings < 99
    assert total <= needed + openings * LARGE.segment_size
    for _ in engine.background.defragment():
        pass
    assert engine.stats.reclaim_bytes == 0, "something was left to do"
    engine.close()


def _run(steps: Iterator[None], number: int) -> bool:
    """Go so many steps; whether that was the end."""
    return any(next(steps, True) for _ in range(number))


def test_leased_keys_that_die_together_are_not_rewritten():
    """A segment with dead records and a majority of leased keys waits until those are gone."""
    fs, model = MemoryFileSystem(), Model()
    engine = Engine.open("/d", fs, OPTIONS, Random(1))

    def put(*changes: Changes, lease: int = 0) -> None:
        commit = author(model.get, model.revision, *changes, lease=lease)
        write(engine, commit)
        model.apply(commit)

    for number in range(5):
        put([(b"event/%d" % number, b"e" * 900)], lease=7)
        put([(b"often", b"v" * 900)])
        put([(b"often", b"v" * 900)])
    put([(b"often", b"v" * 15000)])
    write(engine, Commit(model.revision, compact=model.revision))
    while engine.background.reclaim_step(1 << 20):
        pass
    assert engine.stats.reclaim_bytes == 0
    put([(b"event/%d" % number, None) for number in range(5)])
    write(engine, Commit(model.revision, compact=model.revision))
    while engine.background.reclaim_step(1 << 20):
        pass
    assert engine.stats.reclaimed_segments > 0
    assert engine.stats.reclaim_bytes == 0, "it was given back whole"


@pytest.mark.parametrize("seed", range(12))
def test_several_at_once_take_nothing_twice(seed: int):
    """A run in the background, one of everything, and another one: piece by piece, in any order."""
    rng = Random(seed)
    fs = MemoryFileSystem()
    options = EngineOptions(segment_size=12 << 10, zero_ahead=4096, garbage_ratio=0.3, run_records=40)
    engine = Engine.open("/d", fs, options, Random(1))
    model = Model()
    for _ in range(6):
        for _ in range(40):
            key = b"key/%d" % rng.randrange(30)
            write(engine, commit := model.commit([(key, rng.randbytes(rng.choice((9, 700))))]))
            model.apply(commit)
        write(engine, commit := Commit(model.revision, compact=model.revision - rng.randrange(9)))
        model.apply(commit)
        runs = [engine.background.reclaim(2048, everything=everything) for everything in (False, True, True)]
        while runs:
            run = rng.choice(runs)
            work = next(run, None)
            if work is None:
                runs.remove(run)
            else:
                work()
            for part in engine._segments.values():
                assert part.dead_bytes + part.grave_bytes <= part.record_bytes
                assert len(set(part.dead)) == len(part.dead)
        model.check(engine, [model.compacted, model.revision - 1])
    assert engine.stats.reclaimed_segments > 3
    engine.close()
    model.check(Engine.open("/d", fs.clone(), options), [model.compacted])
