"""Reads at a revision that has just been: the same as the long way, however many changes there are to undo."""

from random import Random

import pytest

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.read import range_cache
from brainctl.engine.read import undo_log as undo
from brainctl.engine.read.undo_log import UndoLog, WayBack
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.range_response_kvs import framed
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, write

OPTIONS = EngineOptions(segment_size=16 << 10, zero_ahead=0, run_records=40)
KEYS = [b"a/%02d" % number for number in range(30)] + [b"b", b"\xff"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "_CHANGES", 24)
    for name, value in {"_KEYS": 4, "_READ": 8, "_FEW": 3}.items():
        monkeypatch.setattr(range_cache, name, value)


def some_changes(rng: Random, model: Model) -> Commit:
    revisions = []
    state = model.copy()
    for _ in range(rng.choice((1, 1, 3))):
        changes: list[tuple[bytes, bytes | None]] = []
        for key in rng.sample(KEYS, rng.choice((1, 1, 4))):
            live = state.get(key) is not None
            changes.append((key, None if live and rng.random() < 0.4 else rng.randbytes(20)))
        state.apply(state.commit(changes))
        revisions.append(changes)
    return model.commit(*revisions)


def check(engine: Engine, model: Model, revision: int, start: bytes, end: bytes | None, limit: int) -> None:
    wanted = model.range(start, end, revision)
    found = engine.view.select(start, end, revision, limit)
    assert b"".join(found.parts) == b"".join(framed([version.kv for version in wanted][: limit or None]))
    assert found.total == len(wanted) == engine.view.count(start, end, revision)


@pytest.mark.parametrize("seed", range(8))
def test_the_near_past_is_what_it_was(seed: int):
    rng, model = Random(seed), Model()
    engine = Engine.open("/d", MemoryFileSystem(), OPTIONS, Random(1))
    for number in range(300):
        commit = some_changes(rng, model)
        write(engine, commit)
        model.apply(commit)
        if number % 50 == 40:
            compaction = Commit(model.revision, compact=model.revision - 5)
            write(engine, compaction)
            model.apply(compaction)
        if rng.random() < 0.2:
            engine.background.index_step(1 << 20)
        for _ in range(3):
            revision = rng.randrange(max(model.compacted, model.revision - 40, 1), model.revision + 1)
            start, end = rng.choice(((b"", None), (b"a/", b"a0"), (b"a/07", b"a/21"), (b"a/99", b"c"), (b"a/05", None)))
            check(engine, model, revision, start, end, rng.choice((0, 0, 1, 2, 5, 1000)))


def test_an_import_has_no_past():
    engine = Engine.open("/d", MemoryFileSystem(), OPTIONS, Random(1))
    model = Model()
    imported = model.commit([(b"k", b"v")])
    imported.imported = True
    imported.revision = 100
    write(engine, imported)
    assert engine.view.undo.since(99, b"", None) is None
    assert engine.view.undo.since(100, b"", None) == ({}, 0)


def test_what_is_too_long_ago_is_said_to_be():
    log = UndoLog(10)
    assert log.since(9, b"", None) is None
    for revision in range(11, 111):
        log.add([revision], [b"%d" % (revision % 7)], [revision])
    first = next(revision for revision in range(10, 111) if log.since(revision, b"", None) is not None)
    assert 110 - undo._CHANGES * 5 // 4 <= first <= 110 - undo._CHANGES
    back = log.since(107, b"", None)
    assert back == ({b"3": 108, b"4": 109, b"5": 110}, 0)


def test_created_and_deleted_keys_count():
    log = UndoLog(1)
    log.add([2, 3, 3, 4], [b"a", b"b", b"c", b"b"], [0, 0, -7, -3])
    assert log.since(1, b"", None) == ({b"a": 0, b"b": 0, b"c": 7}, 0)
    assert log.since(1, b"a", b"b") == ({b"a": 0}, 1)
    assert log.since(3, b"b", b"c") == ({b"b": 3}, -1)


def test_changes_that_are_not_undone_are_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(UndoLog, "since", lambda *_: WayBack({}, 0))
    with pytest.raises(AssertionError):
        test_the_near_past_is_what_it_was(1)
