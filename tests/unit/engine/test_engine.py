"""The engine on the real file system: locks, modes, threads, counters."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.vfs.directory_lock import Holder, holder
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.errors import StoreDamaged, StoreInUse
from brainctl.mvcc.commit import Commit
from tests.unit.engine.model import Model, imported, write

SMALL = EngineOptions(segment_size=64 << 10, zero_ahead=8192)


def test_a_store_has_one_owner(tmp_path: Path):
    engine = Engine.open(tmp_path / "s")
    engine.announce("127.0.0.1:2379")
    assert holder(str(tmp_path / "s"), OsFileSystem()) == Holder(os.getpid(), "127.0.0.1:2379")
    with pytest.raises(StoreInUse, match=f"process {os.getpid()}"):
        Engine.open(tmp_path / "s")
    engine.close()
    assert holder(str(tmp_path / "s"), OsFileSystem()) is None
    Engine.open(tmp_path / "s").close()


def test_another_process_is_named(tmp_path: Path):
    program = "import sys; from brainctl.engine.engine import Engine; Engine.open(sys.argv[1]); print(); input()"
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreInUse, match=f"process {process.pid}"):
            Engine.open(tmp_path)
        process.kill()
    Engine.open(tmp_path).close()


def test_only_the_owner_may_look(tmp_path: Path):
    old = os.umask(0)
    try:
        engine = Engine.open(tmp_path / "new" / "store")
        write(engine, Model().commit([(b"k", b"v")]))
        engine.close()
    finally:
        os.umask(old)
    for directory in (tmp_path / "new", tmp_path / "new" / "store"):
        assert directory.stat().st_mode & 0o777 == 0o700
    for file in (tmp_path / "new" / "store").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_new_store_is_empty(tmp_path: Path):
    engine = Engine.open(tmp_path)
    assert (engine.view.revision, engine.view.compacted, engine.keys, engine.size, engine.size_in_use) == (
        1,
        0,
        0,
        0,
        0,
    )
    assert engine.view.select(b"", None, 0, 0) == ([], 0)
    assert list(engine.view.history(1, 1)) == []
    engine.close()
    assert json.loads((tmp_path / "LOCK").read_text())["pid"] == os.getpid()


def test_writes_reads_and_reclaim_on_three_threads(tmp_path: Path):
    """The pipeline of a server: one batch is written while the next is laid out, and reclaim goes on beside them."""
    engine = Engine.open(tmp_path, options=SMALL)
    model = Model()
    reclaim = None
    pending = None
    with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(1) as background:
        work = background.submit(int)
        for number in range(400):
            commit = model.commit([(b"key/%d" % (number * 7 % 40), b"%d" % number * 300)])
            if number % 50 == 49:
                commit.compact = model.revision - 5
            model.apply(commit)
            prepared = engine.encode(commit)
            if pending is not None:
                pending[0].result()
                engine.publish(*pending[1:])
            pending = (writer.submit(engine.write, prepared), commit, prepared)
            if work.done():
                reclaim = reclaim or engine.background.reclaim(32 << 10)
                piece = next(reclaim, None)
                if piece is None:
                    reclaim = None
                else:
                    work = background.submit(piece)
            assert engine.view.get(b"key/0", engine.view.revision) == model.get(b"key/0", engine.view.revision)
        assert pending is not None
        pending[0].result()
        engine.publish(*pending[1:])
    assert engine.stats.reclaimed_segments > 2
    model.check(engine, [model.compacted, model.revision - 2])
    engine.close()
    engine = Engine.open(tmp_path, options=SMALL)
    model.check(engine, [model.compacted, model.revision - 2])
    engine.close()


def test_readers_keep_what_they_read_while_it_is_reclaimed(tmp_path: Path):
    engine = Engine.open(tmp_path, options=SMALL)
    model = Model()
    for number in range(300):
        commit = model.commit([(b"key/%d" % (number % 30), b"v%d" % number * 200)])
        write(engine, commit)
        model.apply(commit)
    reader = engine.view.history(200, 301)
    versions = engine.view.versions(b"", None, 0)
    seen, shown = [next(reader)], [next(versions)]
    write(engine, Commit(model.revision, compact=200))
    for _ in engine.background.defragment():
        seen.extend(revision for _, revision in zip(range(2), reader, strict=False))
    assert seen + list(reader) == model.history(200, 301)
    assert shown + list(versions) == model.range(b"", None)
    engine.close()


def test_bytes_and_syncs_are_counted(tmp_path: Path):
    engine = Engine.open(tmp_path, options=EngineOptions(segment_size=1 << 20, zero_ahead=64 << 10))
    write(engine, Model().commit([(b"first", b"")]))
    before = engine.stats.syncs, engine.stats.log_bytes + engine.stats.padding_bytes
    model = Model(revision=2)
    commits = [model.commit([(b"k", b"v" * 256)])]
    for commit in commits:
        write(engine, commit)
    assert engine.stats.syncs - before[0] == 1
    assert engine.stats.log_bytes + engine.stats.padding_bytes - before[1] == 512
    assert engine.stats.zero_bytes == (64 << 10) - 512, "zeros were written to the end of a block"
    assert engine.stats.written_bytes == sum(engine.stats.by_category.values())
    engine.close()


def test_space_comes_back(tmp_path: Path):
    engine = Engine.open(tmp_path, options=SMALL)
    model = Model()
    for number in range(400):
        commit = model.commit([(b"key/%03d" % number, b"v" * 1000)])
        write(engine, commit)
        model.apply(commit)
    deletes = [(b"key/%03d" % number, None) for number in range(400) if number % 5]
    commit = model.commit(deletes, [(b"last", b"")])
    commit.compact = commit.revision
    write(engine, commit)
    model.apply(commit)
    full = engine.size
    for _ in engine.background.defragment():
        pass
    assert engine.size < 0.4 * full
    assert engine.size_in_use < 1.15 * 80 * 1000
    on_disk = sum(file.stat().st_size for file in tmp_path.iterdir() if "-0." not in file.name)
    assert on_disk < 0.4 * full
    model.check(engine)
    engine.close()


def test_closing_ends_reclaim(tmp_path: Path):
    engine = Engine.open(tmp_path, options=SMALL)
    model = Model()
    for number in range(300):
        commit = model.commit([(b"key/%d" % (number % 30), b"v%d" % number * 200)])
        write(engine, commit)
        model.apply(commit)
    write(engine, compaction := Commit(model.revision, compact=model.revision))
    model.apply(compaction)
    pieces = engine.background.reclaim(4096, everything=True)
    piece = next(pieces)
    while not any("-1.seg" in file.name for file in tmp_path.iterdir()):
        piece()
        piece = next(pieces)
    engine.close()
    before = sorted(file.name for file in tmp_path.iterdir())
    piece()
    assert list(pieces) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    engine = Engine.open(tmp_path, options=SMALL)
    model.check(engine)
    engine.close()


def test_imports_have_no_history(tmp_path: Path):
    engine = Engine.open(tmp_path)
    commit = Commit(500, compact=500, imported=True)
    commit.changes = [imported(b"a", b"1", 3, 400, 7), imported(b"b", b"2", 9, 9, 1)]
    write(engine, commit)
    model = Model()
    model.apply(commit)
    later = model.commit([(b"a", b"next")])
    write(engine, later)
    model.apply(later)
    model.check(engine)
    assert engine.view.get(b"a", 500) == commit.changes[0]
    assert [revision.main for revision in engine.view.history(1, 501)] == [501]
    engine.close()


def test_an_import_must_be_marshalled_in_order(tmp_path: Path):
    engine = Engine.open(tmp_path)
    commit = Commit(5, imported=True)
    version = imported(b"a", b"1", 3, 4, 1)
    commit.changes = [version._replace(kv=version.kv[3:] + version.kv[:3])]
    with pytest.raises(ValueError, match="in order"):
        engine.encode(commit)
    engine.close()


def test_a_large_batch_gets_a_segment_of_its_size(tmp_path: Path):
    engine = Engine.open(tmp_path, options=SMALL)
    model = Model()
    for value in (b"small", b"L" * 300_000, b"small again"):
        commit = model.commit([(b"k", value)])
        write(engine, commit)
        model.apply(commit)
    engine.close()
    engine = Engine.open(tmp_path, options=SMALL)
    model.check(engine)
    engine.close()


def test_options_may_change_from_one_opening_to_the_next(tmp_path: Path):
    model = Model()
    for number, alignment in enumerate((512, 4096, 1024, 4096, 512)):
        options = EngineOptions(segment_size=10_000 + number * 5_000, alignment=alignment, zero_ahead=number * 1000)
        engine = Engine.open(tmp_path, options=options)
        for value in (b"v", b"v" * 3000, b"v" * 2000):
            commit = model.commit([(b"key/%d" % number, value)])
            prepared = engine.encode(commit)
            engine.write(prepared)
            engine.publish(commit, prepared)
            model.apply(commit)
        assert (prepared.offset + prepared.header.span) % alignment == 0
        model.check(engine)
        engine.close()
    with pytest.raises(ValueError, match="power of two"):
        EngineOptions(alignment=100)


def test_a_store_can_be_destroyed(tmp_path: Path):
    engine = Engine.open(tmp_path)
    write(engine, Model().commit([(b"k", b"v")]))
    with pytest.raises(StoreInUse):
        Engine.destroy(tmp_path)
    engine.close()
    Engine.destroy(tmp_path)
    engine = Engine.open(tmp_path)
    assert engine.view.revision == 1
    engine.close()


def test_segments_without_a_manifest_are_refused(tmp_path: Path):
    engine = Engine.open(tmp_path)
    write(engine, Model().commit([(b"k", b"v")]))
    engine.close()
    (tmp_path / "MANIFEST").unlink()
    with pytest.raises(StoreDamaged, match="MANIFEST"):
        Engine.open(tmp_path)
