"""Space that is used again: what is there from before is never taken for the log, whatever a crash leaves."""

import os
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.format.segment_header import RECYCLED
from brainctl.engine.sector import SECTOR
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.errors import StoreDamaged
from brainctl.mvcc.commit import Commit
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, write

OPTIONS = EngineOptions(segment_size=16 << 10, zero_ahead=0, garbage_ratio=0.5)
VALUE = b"v" * 900


class Filled:
    """A store whose log goes on in a file that was another segment."""

    def __init__(self, fs: MemoryFileSystem | OsFileSystem, directory: str) -> None:
        self.fs, self.directory, self.model = fs, directory, Model()
        self.engine = Engine.open(directory, fs, OPTIONS, Random(1))
        while not self._stale():
            for _ in range(14):
                self.put((b"hot", VALUE))
            self.commit(Commit(self.model.revision, compact=self.model.revision))
            while self.engine.background.reclaim_step(1 << 20):
                pass

    def _stale(self) -> bool:
        segments = self.engine._segments
        return bool(segments) and segments[max(segments)].stale

    def put(self, *changes: tuple[bytes, bytes | None]) -> None:
        self.commit(self.model.commit(list(changes)))

    def commit(self, commit: Commit) -> None:
        write(self.engine, commit)
        self.model.apply(commit)

    @property
    def last(self) -> str:
        return self.engine._segments[max(self.engine._segments)].path


@pytest.fixture
def filled() -> Filled:
    return Filled(MemoryFileSystem(), "/d")


def outcome(filled: Filled, path: str, content: bytes, models: list[Model]) -> Model | None:
    """The state that the store opens as; None when it is refused."""
    assert isinstance(filled.fs, MemoryFileSystem)
    fs = filled.fs.clone()
    fs.replace(path, content)
    try:
        engine = Engine.open("/d", fs, OPTIONS)
    except StoreDamaged as damage:
        return None if path in str(damage) else Model()
    model = next(model for model in models if model.revision == engine.view.revision)
    model.check(engine, [])
    return model


def test_a_segment_in_a_used_file_is_read_again(filled: Filled):
    assert isinstance(filled.fs, MemoryFileSystem)
    content = filled.fs.content(filled.last)
    assert content[10] == RECYCLED
    assert content.count(b"bcB1") > 5, "nothing is left of the segment that was there before"
    for _ in range(3):
        filled.put((b"hot", VALUE), (b"other", b"x"))
        filled.model.check(filled.engine)
        filled.model.check(Engine.open("/d", filled.fs.clone(), OPTIONS))


def test_what_a_torn_write_leaves_among_old_bytes_is_cut(filled: Filled):
    """Any of its sectors may still hold what was there before."""
    assert isinstance(filled.fs, MemoryFileSystem)
    path, before = filled.last, filled.fs.clone()
    models = [filled.model.copy()]
    offset = filled.engine._segments[max(filled.engine._segments)].end
    filled.put((b"hot", b"w" * 1200), (b"third", b"x" * 300))
    models.append(filled.model.copy())
    old, new = before.content(path), filled.fs.content(path)
    sectors = range(offset, offset + 2048, SECTOR)
    assert new[: sectors.stop] != old[: sectors.stop]
    for kept in range(2 ** len(sectors)):
        torn = bytearray(new)
        for number, at in enumerate(sectors):
            if not kept >> number & 1:
                torn[at : at + SECTOR] = old[at : at + SECTOR]
        expected = models[bytes(torn) == new]
        assert outcome(filled, path, bytes(torn), models) is expected


def test_an_unfinished_write_among_old_bytes_does_not_come_back(filled: Filled):
    assert isinstance(filled.fs, MemoryFileSystem)
    path, before = filled.last, filled.fs.clone()
    first = filled.engine._segments[max(filled.engine._segments)].end
    model = filled.model.copy()
    one = model.commit([(b"a", b"one")])
    after = model.copy()
    after.apply(one)
    write(filled.engine, one, after.commit([(b"b", b"two")]))
    fs = filled.fs.clone()
    torn = bytearray(fs.content(path))
    torn[first : first + SECTOR] = before.content(path)[first : first + SECTOR]
    fs.replace(path, bytes(torn))
    engine = Engine.open("/d", fs, OPTIONS)
    model.check(engine)
    commit = model.commit([(b"c", b"six")])
    write(engine, commit)
    model.apply(commit)
    model.check(Engine.open("/d", fs.clone(), OPTIONS))


def test_once_confirmed_every_flip_is_refused(filled: Filled):
    """Before that, damage of the last group looks like a torn write: the group is lost, and nothing wrong is served."""
    assert isinstance(filled.fs, MemoryFileSystem)
    path, models = filled.last, [filled.model.copy()]
    filled.put((b"hot", b"w" * 700))
    models.append(filled.model.copy())
    assert filled.engine.unconfirmed
    unconfirmed = filled.fs.content(path)
    part = filled.engine._segments[max(filled.engine._segments)]
    end = part.end
    commit, prepared = filled.engine.confirm()
    filled.engine.write(prepared)
    filled.engine.publish(commit, prepared)
    assert not filled.engine.unconfirmed
    confirmed = filled.fs.content(path)
    for at in range(end - 1024, end - 200, 7):
        for content, expected in ((unconfirmed, models[0]), (confirmed, None)):
            damaged = bytearray(content)
            damaged[at] ^= 1 << at % 8
            assert outcome(filled, path, bytes(damaged), models) is expected


def test_readers_keep_what_they_read(filled: Filled):
    """The file of a dead segment is not used again while somebody still reads it."""
    engine = filled.engine
    filled.put((b"hot", VALUE), (b"kept", b"one"))
    held = engine._segments[max(engine._segments)]
    content = bytes(held.mapped[: held.end])
    for _ in range(6):
        for _ in range(14):
            filled.put((b"hot", VALUE))
        filled.commit(Commit(filled.model.revision, compact=filled.model.revision))
        while engine.background.reclaim_step(1 << 20):
            pass
    assert held.number not in engine._segments or engine._segments[held.number] is not held
    assert held.mapped[: len(content)] == content
    assert engine.stats.recycled_segments > 2


def test_a_file_with_another_name_is_not_written_again(tmp_path: Path):
    """A backup by hard links keeps what it has."""
    store = Filled(OsFileSystem(), str(tmp_path / "store"))
    engine = store.engine
    backup = tmp_path / "backup"
    backup.mkdir()
    for _ in range(14):
        store.put((b"hot", VALUE))
    saved = {}
    for part in engine._segments.values():
        link = backup / Path(part.path).name
        os.link(part.path, link)
        saved[link] = link.read_bytes()[: part.end]
    for _ in range(6):
        for _ in range(14):
            store.put((b"hot", VALUE))
        store.commit(Commit(store.model.revision, compact=store.model.revision))
        while engine.background.reclaim_step(1 << 20):
            pass
    for link, content in saved.items():
        assert link.read_bytes().startswith(content), f"{link.name} was written again"
    store.model.check(engine, [])
    engine.close()
    store.model.check(Engine.open(store.directory, options=OPTIONS), [])


def test_a_prepared_segment_is_used_and_found_again():
    fs = MemoryFileSystem()
    engine, model = Engine.open("/d", fs, OPTIONS, Random(1)), Model()
    prepared = 0
    for number in range(40):
        commit = model.commit([(b"key/%d" % number, VALUE)])
        write(engine, commit)
        model.apply(commit)
        if engine.next_segment_due:
            engine.allocate_next_segment()()
            prepared += 1
            model.check(Engine.open("/d", fs.clone(), OPTIONS), [])
    assert prepared > 2
    model.check(Engine.open("/d", fs.clone(), OPTIONS))


def test_a_batch_too_large_for_the_prepared_segment_gets_its_own():
    fs = MemoryFileSystem()
    engine, model = Engine.open("/d", fs, OPTIONS, Random(1)), Model()
    for size in (9000, 20000, 900, 900):
        commit = model.commit([(b"key/%d" % size, b"v" * size)])
        write(engine, commit)
        model.apply(commit)
        if engine.next_segment_due:
            engine.allocate_next_segment()()
        model.check(Engine.open("/d", fs.clone(), replace(OPTIONS, segment_size=8192)), [])


@pytest.mark.parametrize("segments", [1, 2, 5])
def test_a_segment_that_is_made_ahead_too_late_stays_as_it_is(segments: int):
    """The log has come to it, and has left it behind, before the thread had its turn."""
    fs, model = MemoryFileSystem(), Model()
    engine = Engine.open("/d", fs, OPTIONS, Random(1))

    def put() -> None:
        commit = model.commit([(b"key/%d" % model.revision, VALUE)])
        write(engine, commit)
        model.apply(commit)

    while not engine.next_segment_due:
        put()
    late = engine.allocate_next_segment()
    last = max(engine._segments)
    while max(engine._segments) < last + segments:
        put()
    before = {path: fs.content(path) for path in fs.paths()}
    late()
    assert {path: fs.content(path) for path in fs.paths()} == before
    put()
    model.check(engine)
    model.check(Engine.open("/d", fs.clone(), OPTIONS))
