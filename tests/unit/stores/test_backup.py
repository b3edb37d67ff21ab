"""Backups are whole, stand apart from the store that goes on, build on each other, and go back to any revision kept."""

import shutil
import sys
import threading
from pathlib import Path
from random import Random

import pytest

from brainctl.backup import hard_links
from brainctl.backup.hard_links import load, save
from brainctl.backup.point_in_time import HistoryGone
from brainctl.backup.restore import restore_backup
from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.offline.check import check
from brainctl.engine.vfs.filesystem import OsFile
from brainctl.errors import InvalidInput, NotEmpty, StoreDamaged
from brainctl.mvcc.commit import Commit
from tests.peers.process import Child
from tests.peers.servers import clean_environment
from tests.unit.engine.model import Model, write

OPTIONS = EngineOptions(segment_size=16 << 10, zero_ahead=4096, garbage_ratio=0.3, run_records=40)


class World:
    """A store on a disk, and what it holds."""

    def __init__(self, directory: Path, seed: int = 1) -> None:
        self.directory = directory
        self.rng = Random(seed)
        self.model = Model()
        self.engine = Engine.open(directory, options=OPTIONS)

    def work(self, steps: int) -> "World":
        """Puts and deletes, compactions, reclaim, runs."""
        rng, model, engine = self.rng, self.model, self.engine
        for _ in range(steps):
            key = b"key/%d" % rng.randrange(12)
            value = None if model.get(key) is not None and rng.random() < 0.2 else rng.randbytes(rng.choice((9, 900)))
            self.apply(model.commit([(key, value)]))
            if rng.random() < 0.1 and model.revision > model.compacted + 12:
                self.apply(Commit(model.revision, compact=model.revision - 10))
            if rng.random() < 0.2:
                self.apply(Commit(model.revision, meta={b"lease/%d" % rng.randrange(3): rng.choice((None, b"ttl"))}))
            for _ in range(rng.randrange(3)):
                engine.background.reclaim_step(1 << 16)
                engine.background.index_step(1 << 16)
        return self

    def apply(self, commit: Commit) -> None:
        write(self.engine, commit)
        self.model.apply(commit)

    def save(self, target: Path, base: Path | None = None) -> Model:
        """A backup beside the open engine; what it must hold."""
        save(self.directory, target, base, lambda: self.engine.view.revision)
        return self.model.copy()


def holds(directory: Path, model: Model) -> None:
    assert check(directory).findings == []
    engine = Engine.open(directory, options=OPTIONS)
    model.check(engine, [model.compacted, model.revision - 1])
    engine.close()


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store").work(120)


def test_closed_segments_are_links_and_the_store_goes_on(world: World, tmp_path: Path) -> None:
    model = world.save(tmp_path / "backup")
    made = load(tmp_path / "backup")
    assert (made.revision, made.compacted) == (model.revision, model.compacted)
    links = [path for path in (tmp_path / "backup").iterdir() if path.stat().st_nlink == 2]
    assert len(links) == len(made.files) - 1 > 3
    before = contents(tmp_path / "backup")
    world.work(300)
    assert world.engine.stats.recycled_segments > 0
    assert contents(tmp_path / "backup") == before
    restore_backup(tmp_path / "backup", tmp_path / "restored")
    holds(tmp_path / "restored", model)
    holds(tmp_path / "backup", model)
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "restored").iterdir()} == {0o600}


def test_a_file_with_two_names_is_what_keeps_a_backup(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: an engine that does not look at the links of a file writes into the backup."""
    world.save(tmp_path / "backup")
    before = contents(tmp_path / "backup")
    monkeypatch.setattr(OsFile, "links", lambda _: 1)
    world.work(300)
    assert contents(tmp_path / "backup") != before


def test_a_store_that_nobody_has_open(world: World, tmp_path: Path) -> None:
    world.engine.close()
    before = contents(world.directory)
    save(world.directory, tmp_path / "backup")
    assert contents(world.directory) == before
    holds(tmp_path / "backup", world.model)


def test_backups_beside_a_busy_writer(tmp_path: Path) -> None:
    world = World(tmp_path / "store", 7).work(50)
    models: dict[int, Model] = {}
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            models[world.model.revision] = world.model.copy()
            world.work(1)

    writer = threading.Thread(target=busy)
    writer.start()
    try:
        asked = []
        for number in range(12):
            asked.append(world.engine.view.revision)
            save(world.directory, tmp_path / f"backup{number}", None, lambda: world.engine.view.revision)
    finally:
        stop.set()
        writer.join()
    models[world.model.revision] = world.model.copy()
    for number, revision in enumerate(asked):
        made = tmp_path / f"backup{number}"
        assert load(made).revision >= revision
        assert check(made).findings == []
        engine = Engine.open(made, options=OPTIONS)
        assert list(engine.view.versions(b"", None, 0)) == models[engine.view.revision].range(b"", None)
        engine.close()
    assert len({load(tmp_path / f"backup{number}").revision for number in range(12)}) > 3


def test_backups_that_build_on_each_other(world: World, tmp_path: Path) -> None:
    states = [world.save(tmp_path / "0")]
    for number in (1, 2, 3):
        world.work(60)
        states.append(world.save(tmp_path / str(number), tmp_path / str(number - 1)))
        made = load(tmp_path / str(number))
        assert made.base == f"../{number - 1}"
        assert {path.name for path in (tmp_path / str(number)).iterdir()} == {*made.own, "BACKUP"}
    assert any(len(load(tmp_path / n).own) < len(load(tmp_path / n).files) for n in "123")
    for number, model in enumerate(states):
        restore_backup(tmp_path / str(number), tmp_path / f"restored{number}")
        holds(tmp_path / f"restored{number}", model)
    shutil.rmtree(tmp_path / "1")
    with pytest.raises(InvalidInput, match="there is no backup"):
        restore_backup(tmp_path / "3", tmp_path / "other")
    other = World(tmp_path / "second", 2).work(10)
    with pytest.raises(InvalidInput, match="another store"):
        other.save(tmp_path / "wrong", tmp_path / "0")
    assert not (tmp_path / "wrong").exists()


def test_any_revision_that_is_kept(world: World, tmp_path: Path) -> None:
    model = world.save(tmp_path / "backup")
    first = model.compacted
    for revision in (first, first + 1, (first + model.revision) // 2, model.revision - 1, model.revision):
        target = tmp_path / f"at{revision}"
        restored = restore_backup(tmp_path / "backup", target, revision)
        assert restored == (revision, len(model.range(b"", None, revision)), None)
        engine = Engine.open(target, options=OPTIONS)
        assert (engine.view.revision, engine.view.compacted) == (revision, first)
        for at in range(first, revision + 1):
            assert list(engine.view.versions(b"", None, at)) == model.range(b"", None, at)
        assert list(engine.view.history(first + 1, revision)) == model.history(first + 1, revision)
        engine.close()
    with pytest.raises(HistoryGone, match=f"begins at {first}"):
        restore_backup(tmp_path / "backup", tmp_path / "none", first - 1)
    with pytest.raises(InvalidInput, match=f"ends at {model.revision}"):
        restore_backup(tmp_path / "backup", tmp_path / "none", model.revision + 1)
    assert not (tmp_path / "none").exists()
    assert not list(tmp_path.glob(".none*"))


def test_leases_and_users_are_those_of_the_revision(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    for number in range(3):
        world.apply(Commit(world.model.revision, meta={b"lease/%d" % number: b"ttl", b"alarm/1": b"x"}))
        world.apply(world.model.commit([(b"key", b"%d" % number)]))
    world.apply(Commit(world.model.revision, meta={b"lease/0": None}))
    world.save(tmp_path / "backup")
    for revision, leases in ((2, {b"lease/0", b"lease/1"}), (4, {b"lease/1", b"lease/2"})):
        restore_backup(tmp_path / "backup", tmp_path / str(revision), revision)
        engine = Engine.open(tmp_path / str(revision), options=OPTIONS)
        assert engine.meta(b"").keys() == leases
        engine.close()


def test_damage_and_what_is_in_the_way_are_refused(world: World, tmp_path: Path) -> None:
    world.save(tmp_path / "backup")
    with pytest.raises(NotEmpty):
        world.save(tmp_path / "backup")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(NotEmpty):
        restore_backup(tmp_path / "backup", tmp_path / "taken")
    name = min(load(tmp_path / "backup").files)
    for path in (tmp_path / "backup" / name, tmp_path / "backup" / "BACKUP"):
        sound = path.read_bytes()
        path.unlink()  # the store's file has the same content
        path.write_bytes(sound[:40] + bytes([sound[40] ^ 1]) + sound[41:])
        with pytest.raises(StoreDamaged, match="offset"):
            restore_backup(tmp_path / "backup", tmp_path / "new")
        path.write_bytes(sound)
    (tmp_path / "backup" / name).unlink()
    with pytest.raises(StoreDamaged, match=name):
        restore_backup(tmp_path / "backup", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))


def test_rot_in_the_last_segment_is_no_end_of_the_log(world: World, tmp_path: Path) -> None:
    """What is durable is not left out of a backup because it cannot be read."""
    [segment] = [part for number, part in world.engine._segments.items() if number == max(world.engine._segments)]
    for _ in range(3):
        world.apply(world.model.commit([(b"key", b"x" * 100)]))
    data = bytearray(Path(segment.path).read_bytes())
    data[segment.end - 900] ^= 1
    Path(segment.path).write_bytes(data)
    with pytest.raises(StoreDamaged, match="offset"):
        world.save(tmp_path / "backup")


def test_a_write_under_way_in_a_new_segment_is_left_out(world: World, tmp_path: Path) -> None:
    """Its first batch, of which a part is on the backend: beside the engine, and after a crash there."""
    commit = world.model.commit([(b"key", b"x" * 15_000)])
    prepared = world.engine.encode(commit)
    world.engine.write(prepared)
    assert prepared.offset == 4096
    with Path(prepared.segment.path).open("r+b") as file:
        file.seek(prepared.offset + 1024)
        file.write(bytes(512))
    world.save(tmp_path / "beside")
    holds(tmp_path / "beside", world.model)
    world.engine.close()
    save(world.directory, tmp_path / "after")
    holds(tmp_path / "after", world.model)


def test_another_file_system_gets_copies(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _source: Path) -> None:
        raise OSError(18, "Invalid cross-device link", str(path))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    saved = save(world.directory, tmp_path / "backup", None, lambda: world.engine.view.revision)
    assert saved.linked == 0
    assert saved.copied_bytes >= sum(part.size for part in world.engine._segments.values()) - 16 * 1024
    holds(tmp_path / "backup", world.model)


def test_an_error_on_the_way_leaves_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.save(tmp_path / "backup")
    copy, calls = shutil.copyfile, []

    def fail(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 3:
            raise OSError(28, "No space left on device", str(target))
        copy(source, target)

    monkeypatch.setattr(hard_links.shutil, "copyfile", fail)
    with pytest.raises(OSError, match="No space"):
        restore_backup(tmp_path / "backup", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "store"]


RESTORES = """
import sys
from pathlib import Path
from brainctl.backup.restore import restore_backup
for number in range(99):
    restore_backup(Path(sys.argv[1]), Path(sys.argv[2]) / str(number))
"""


def test_a_restore_that_is_killed_leaves_all_or_nothing(world: World, tmp_path: Path) -> None:
    model = world.save(tmp_path / "backup")
    whole = 0
    for number in range(3):
        target = tmp_path / f"new{number}"
        target.mkdir()
        argv = [sys.executable, "-c", RESTORES, str(tmp_path / "backup"), str(target)]
        child = Child(argv, tmp_path / "log", clean_environment())
        # Once so many are there it is busy with the next one.
        child.wait_until(lambda: len(list(target.glob("[0-9]*"))) > number)  # noqa: B023
        child.kill()
        for made in target.glob("[0-9]*"):
            holds(made, model)
            whole += 1
    assert whole > 3
