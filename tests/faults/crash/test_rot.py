"""Bytes that change on the disk: whatever file and structure they are in, no reader ever gets wrong data."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest

from brainctl.engine.engine import Engine
from brainctl.engine.offline.check import check
from brainctl.errors import StoreDamaged
from brainctl.mvcc.commit import Commit
from tests.faults.crash.workload import DIRECTORY, OPTIONS, Workload
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, write

pytestmark = pytest.mark.crash
Damage = Callable[[bytearray, Random], None]


class Store(NamedTuple):
    fs: MemoryFileSystem
    model: Model
    last_batch: tuple[str, int]
    """Zeros in the last batch look like an unfinished write, as they must."""


@pytest.fixture(scope="module")
def store() -> Store:
    return make_store()


def make_store() -> Store:
    fs = MemoryFileSystem()
    workload = Workload(11)
    workload.run(fs, 90)
    engine = workload.engine
    assert engine is not None
    model = workload.models[-1].copy()
    write(engine, compaction := Commit(model.revision, compact=model.revision - 1))
    model.apply(compaction)
    for _ in engine.background.defragment():
        pass
    commit = model.commit([(b"last", b"batch" * 150)])
    prepared = engine.encode(commit)
    engine.write(prepared)
    engine.publish(commit, prepared)
    model.apply(commit)
    engine.close()
    assert any("-1.seg" in path for path in fs.paths()), "no packed segment to damage"
    assert any(path.endswith(".run") for path in fs.paths()), "no run to damage"
    return Store(fs.clone(), model, (prepared.segment.path, prepared.offset))


def flip(content: bytearray, rng: Random) -> None:
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def garbage(content: bytearray, rng: Random) -> None:
    at = rng.randrange(len(content)) // 512 * 512
    content[at : at + 512] = rng.randbytes(len(content[at : at + 512]))


def zeros(content: bytearray, rng: Random) -> None:
    at = rng.randrange(len(content)) // 512 * 512
    content[at : at + 512] = bytes(len(content[at : at + 512]))


def swapped(content: bytearray, rng: Random) -> None:
    one, other = (rng.randrange(max(1, len(content) // 4096)) * 4096 for _ in range(2))
    first, second = content[one : one + 4096], content[other : other + 4096]
    if len(first) == len(second):
        content[one : one + 4096], content[other : other + 4096] = second, first


def shortened(content: bytearray, rng: Random) -> None:
    del content[rng.randrange(len(content)) :]


def read_all(fs: MemoryFileSystem, model: Model) -> str:
    """Open and read everything: "same" or "refused"; AssertionError when something else was served."""
    try:
        engine = Engine.open(DIRECTORY, fs, OPTIONS)
        model.check(engine, [model.compacted])
        for _ in engine.background.defragment():
            pass
        model.check(engine, [model.compacted])
    except StoreDamaged as damage:
        return "refused" if "offset" in str(damage) else str(damage)
    return "same"


@pytest.mark.parametrize("damage", [flip, garbage, zeros, swapped, shortened])
def test_damage_at_rest_is_never_served(store: Store, damage: Damage):
    seen = set()
    for number in range(250):
        rng = Random(number)
        path = rng.choice([path for path in store.fs.paths() if "LOCK" not in path])
        content = bytearray(store.fs.content(path))
        damage(content, rng)
        if content[: store.last_batch[1]] == store.fs.content(path)[: store.last_batch[1]] and damage is not flip:
            continue
        fs = store.fs.clone()
        fs.replace(path, bytes(content))
        outcome = read_all(fs, store.model)
        assert outcome in ("same", "refused")
        seen.add(outcome)
    assert "refused" in seen


def test_a_flip_in_any_byte_in_use_is_refused(store: Store):
    """Not one in the bytes that matter passes unnoticed; those between batches and after the last do not matter.

    What an opening does not read, a check does; a run that is not sound when the store is opened is given up.
    """
    assert any(path.endswith(".run") for path in store.fs.paths())
    refused = 0
    for path in store.fs.paths():
        content = store.fs.content(path)
        for at in range(0, len(content), 13):
            if content[at] and "LOCK" not in path:
                damaged = bytearray(content)
                damaged[at] ^= 1 << at % 8
                fs = store.fs.clone()
                fs.replace(path, bytes(damaged))
                assert any(path in finding for finding in check(DIRECTORY, fs).findings), (path, at)
                refused += 1
    assert refused > 300


def test_runs_that_do_not_open_are_given_up(store: Store):
    runs = [path for path in store.fs.paths() if path.endswith(".run")]
    for path in runs:
        for damage in (0, 100, None):
            fs = store.fs.clone()
            content = bytearray(fs.content(path))
            if damage is None:
                fs.unlink(path)
            else:
                content[damage] ^= 1
                fs.replace(path, bytes(content))
            store.model.check(Engine.open(DIRECTORY, fs, OPTIONS), [store.model.compacted])
            assert not any(path.endswith(".run") for path in fs.paths())
            store.model.check(Engine.open(DIRECTORY, fs.clone(), OPTIONS), [store.model.compacted])


def test_damage_in_runs_under_an_open_store_is_never_served(store: Store):
    refused = 0
    for number in range(200):
        rng = Random(number)
        engine = Engine.open(DIRECTORY, store.fs.clone(), OPTIONS)
        run = rng.choice(engine._index.runs)
        run._data[rng.randrange(4096, run.header.size)] ^= 1 << rng.randrange(8)
        try:
            store.model.check(engine, [store.model.compacted])
        except StoreDamaged as damage:
            refused += run.path in str(damage) and "offset" in str(damage)
    assert refused > 20


def test_damage_under_an_open_store_is_never_served(store: Store):
    refused = 0
    for number in range(200):
        rng = Random(number)
        engine = Engine.open(DIRECTORY, store.fs.clone(), OPTIONS)
        part = rng.choice(list(engine._segments.values()))
        at = rng.randrange(4096, part.end)
        part.mapped[at] ^= 1 << rng.randrange(8)
        try:
            store.model.check(engine, [store.model.compacted])
        except StoreDamaged:
            refused += 1
    assert refused > 40


def test_a_missing_file_is_refused(store: Store):
    for path in store.fs.paths():
        if "LOCK" not in path and not path.endswith(".run"):
            fs = store.fs.clone()
            fs.unlink(path)
            with pytest.raises(StoreDamaged, match=path):
                Engine.open(DIRECTORY, fs, OPTIONS)


def test_a_segment_of_another_store_is_refused():
    other = MemoryFileSystem()
    Engine.open(DIRECTORY, other, OPTIONS, Random(99)).close()
    other_engine = Engine.open(DIRECTORY, other, OPTIONS)
    model = Model()
    commit = model.commit([(b"k", b"v")])
    prepared = other_engine.encode(commit)
    other_engine.write(prepared)
    path = f"{DIRECTORY}/00000001-0.seg"
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
    prepared = engine.encode(commit)
    engine.write(prepared)
    fs = fs.clone()
    fs.replace(path, other.content(path))
    with pytest.raises(StoreDamaged, match="another segment"):
        Engine.open(DIRECTORY, fs, OPTIONS)
