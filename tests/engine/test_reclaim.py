"""What reclaim must not do, however tempting."""

from random import Random

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.simulated import MemoryFileSystem
from brainctl.mvcc.commit import Commit
from tests.engine.model import Changes, Model, write

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
    while engine.reclaim_step(1 << 20):
        pass
    assert "/d/00000002-1.seg" in fs.paths(), "the tombstone's segment was not rewritten"
    assert "/d/00000001-0.seg" in fs.paths(), "the older segment was rewritten too"
    model.check(engine)
    model.check(Engine.open("/d", fs.clone(), OPTIONS))
    for _ in engine.defragment():
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
    for _ in engine.defragment():
        pass
    [revision] = engine.history(3, 3)
    assert [change.version for change in revision.changes] == [0]
    model.check(Engine.open("/d", fs.clone(), OPTIONS))
