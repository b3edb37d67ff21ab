"""The last batches, cut and flipped at every byte.

A flipped bit is damage, and refused with its place: it must never be taken for an unfinished write, since the batch
was acknowledged. Bytes that were never written (zeros from somewhere on) are cut away if they can be an unfinished
write, and are refused if something durable follows them.
"""

from dataclasses import replace
from random import Random
from typing import NamedTuple

import pytest

from brainctl.engine.engine import Engine
from brainctl.engine.sector import SECTOR
from brainctl.errors import StoreDamaged
from tests.faults.crash.workload import DIRECTORY, OPTIONS
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, write

pytestmark = pytest.mark.crash
PATH = f"{DIRECTORY}/00000001-0.seg"


class Store(NamedTuple):
    fs: MemoryFileSystem
    models: list[Model]
    """After each of the last batches, and before them."""
    places: list[tuple[int, int, int]]
    """Of each of the last batches: where it begins, where its last record ends, where the next begins."""


@pytest.fixture
def store() -> Store:
    return make_store()


def make_store() -> Store:
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
    models, places = [Model()], []
    values = [b"first" * 10, bytes(1200), b"last" * 90 + bytes(1200)]
    for number, value in enumerate(values):
        commit = models[-1].commit([(b"key", value), (b"other/%d" % number, b"x")], [(b"third", value[:30])])
        commit.meta[b"lease/1"] = b"%d" % number
        models.append(models[-1].copy())
        models[-1].apply(commit)
        prepared = engine.encode(commit)
        engine.write(prepared)
        engine.publish(commit, prepared)
        at, header = prepared.offset, prepared.header
        places.append((at, at + 72 + header.length, at + header.span))
    engine.close()
    return Store(fs, models, places)


def outcome(store: Store, content: bytes) -> Model | None:
    """The state that a store with this log opens as; None when it is refused, with file and offset."""
    fs = store.fs.clone()
    fs.replace(PATH, content)
    try:
        engine = Engine.open(DIRECTORY, fs, OPTIONS)
    except StoreDamaged as damage:
        named = PATH in str(damage) and "offset" in str(damage)
        return None if named else store.models[0]
    model = next(model for model in store.models if model.revision == engine.view.revision)
    model.check(engine, [])
    return model


def test_every_flipped_bit_is_refused(store: Store):
    content = store.fs.content(PATH)
    for first, end, following in store.places:
        for at in range(first, following):
            damaged = bytearray(content)
            damaged[at] ^= 1 << at % 8
            found = outcome(store, bytes(damaged))
            if at < end:
                assert found is None, f"the flip at {at} went unnoticed"
            else:
                assert found is store.models[-1], f"the flip at {at}, between batches, did harm"


def test_every_cut_is_clean_or_refused(store: Store):
    content = store.fs.content(PATH)
    *_, before_last, complete = store.models
    first, end, _ = store.places[-1]
    cut_clean = 0
    for at in range(store.places[0][0], end):
        found = outcome(store, content[:at] + bytes(len(content) - at))
        if at <= first:
            assert found is not complete
        if at % SECTOR == 0 and at >= first:
            assert found is before_last, f"what stood before the batch was lost by a cut at {at}"
        cut_clean += found is not None
    assert cut_clean > len(store.places)


def test_lost_sectors_of_the_last_write_are_cut(store: Store):
    """Whatever whole sectors of it are missing, since a crash may keep any of them."""
    content = store.fs.content(PATH)
    first, end, _ = store.places[-1]
    sectors = range(first, end, SECTOR)
    for kept in range(2 ** len(sectors) - 1):
        torn = bytearray(content)
        for number, at in enumerate(sectors):
            if not kept >> number & 1:
                torn[at : at + SECTOR] = bytes(SECTOR)
        if bytes(torn) != content:
            assert outcome(store, bytes(torn)) is store.models[-2]


def test_lost_sectors_before_the_last_write_are_refused(store: Store):
    content = store.fs.content(PATH)
    for first, end, _ in store.places[:-1]:
        for at in range(first, end, SECTOR):
            if any(content[at : at + SECTOR]):
                torn = content[:at] + bytes(SECTOR) + content[at + SECTOR :]
                assert outcome(store, torn) is None


def test_a_file_that_is_cut_short_is_refused(store: Store):
    content = store.fs.content(PATH)
    first, _, following = store.places[-1]
    for length in [0, 1, 4095, 4096, *range(first - 5, following + 5), len(content) - 1]:
        assert outcome(store, content[:length]) is None


def test_an_unfinished_write_does_not_come_back():
    """A batch behind a lost one is gone for good, even if a new batch ends exactly where it begins."""
    fs, options = MemoryFileSystem(), replace(OPTIONS, zero_ahead=0)
    engine = Engine.open(DIRECTORY, fs, options, Random(1))
    model = Model()
    commits = [model.commit([(b"a", b"one")])]
    model.apply(commits[0])
    commits.append(model.commit([(b"b", b"two")]))
    write(engine, *commits)
    fs = fs.clone()
    torn = bytearray(fs.content(PATH))
    torn[4096 : 4096 + SECTOR] = bytes(SECTOR)
    fs.replace(PATH, bytes(torn))
    engine = Engine.open(DIRECTORY, fs, options)
    model = Model()
    model.check(engine)
    commit = model.commit([(b"c", b"six")])
    write(engine, commit)
    model.apply(commit)
    model.check(Engine.open(DIRECTORY, fs.clone(), options))
