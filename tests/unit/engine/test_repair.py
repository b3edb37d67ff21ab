"""`repair` saves whatever is readable, invents nothing, and names what is missing; `dump` shows where it is."""

from pathlib import Path
from random import Random

import pytest

from brainctl.engine.engine import Engine
from brainctl.engine.format.file_names import segment_name
from brainctl.engine.format.segment_header import DATA, LOG, PACKED
from brainctl.engine.offline.check import check
from brainctl.engine.offline.damage_survey import survey
from brainctl.engine.offline.dump import DAMAGED, dump
from brainctl.engine.offline.repair import Repaired, repair, save
from brainctl.errors import NotEmpty, StoreInUse
from brainctl.mvcc.commit import Commit
from tests.faults.crash.workload import DIRECTORY, OPTIONS, Workload
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, imported, write


def worked(seed: int, steps: int = 60) -> tuple[MemoryFileSystem, Model]:
    """A store with packed segments, runs and a history, and what it holds."""
    fs = MemoryFileSystem()
    workload = Workload(seed)
    workload.run(fs, steps)
    engine = workload.engine
    assert engine is not None
    if engine.unconfirmed:  # as a server does
        commit, prepared = engine.confirm()
        engine.write(prepared)
        engine.publish(commit, prepared)
    engine.close()
    Engine.open(DIRECTORY, fs, OPTIONS).close()  # removes what an interrupted reclaim left
    return fs.clone(), workload.models[-1]


def unexplained(model: Model, engine: Engine, done: Repaired) -> list[str]:
    """What differs from the model and is not named as lost, and whatever was never written."""
    spans = [(loss.first, loss.last or model.revision) for loss in done.losses if loss.first]
    named = {version.key for version in done.versions}
    wrong = []
    written = {version for versions in model.keys.values() for version in versions}
    for revision in {done.compacted, done.revision}:
        shown = set(engine.view.versions(b"", None, revision))
        wrong += [f"{version} was never written" for version in shown - written]
        found = {version.key: version for version in engine.view.versions(b"", None, revision)}
        for key in model.keys:
            expected = model.get(key, revision)
            mods = [version.mod_revision for version in model.keys[key]]
            touched = key in named or any(first <= mod <= last for mod in mods for first, last in spans)
            if found.get(key) != expected and not touched:
                wrong.append(f"{key!r} at {revision}: {found.get(key)} instead of {expected}")
    oldest = max(done.compacted, model.compacted, 1)
    if list(engine.view.history(oldest + 1, done.revision)) != model.history(oldest + 1, done.revision):
        wrong.append("the history differs")
    return wrong


def repaired(fs: MemoryFileSystem, bump: int = 0) -> tuple[Repaired, MemoryFileSystem]:
    """What `repair` makes of a store, without waiting for a disk."""
    before = {path: fs.content(path) for path in fs.paths()}
    new = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, new, OPTIONS)
    done = save(survey(DIRECTORY, fs), engine, bump)
    engine.close()
    assert {path: fs.content(path) for path in fs.paths()} == before
    return done, new.clone()


def proved(done: Repaired, fs: MemoryFileSystem, model: Model, faults: object = None) -> None:
    report = check(DIRECTORY, fs)
    assert report.findings == [], faults
    assert report.info is not None
    assert (report.info.revision, report.info.compacted, report.info.keys) == done[:3], faults
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    assert unexplained(model, engine, done) == [], faults
    engine.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_sound_store_is_saved_whole(seed: int, tmp_path: Path) -> None:
    fs, model = worked(seed)
    done = repair(DIRECTORY, tmp_path / "new", fs=fs)
    assert done.complete
    assert done.findings == []
    engine = Engine.open(tmp_path / "new")
    model.check(engine)
    engine.close()
    assert check(tmp_path / "new").findings == []


def harm(fs: MemoryFileSystem, rng: Random) -> str:
    """One fault in one file; what it was."""
    path = rng.choice([path for path in fs.paths() if not path.endswith("LOCK")])
    content = bytearray(fs.content(path))
    used = len(content.rstrip(b"\0"))
    logs = [path for path in fs.paths() if path.endswith("-0.seg") and any(fs.content(path)[DATA:])]
    # Nobody can tell zeros at the end of the log from a log that ends there (docs/formats/batch.md).
    kind = rng.choice(("flip", "noise" if path in logs[-1:] else "zeros", "noise", "short", "gone"))
    at = rng.randrange(max(used, 1))
    match kind:
        case "flip":
            content[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in content[at : at + 1])
        case "zeros" | "noise":
            at -= at % 512
            size = min(rng.choice((512, 4096)), len(content) - at)
            content[at : at + size] = bytes(size) if kind == "zeros" else rng.randbytes(size)
        case "short":
            del content[at:]
        case _:
            del content[:]
    if kind == "gone":
        fs.unlink(path)
    else:
        fs.replace(path, bytes(content))
    return f"{kind} {path} {at}"


@pytest.mark.parametrize("seed", range(20))
def test_what_is_lost_is_named(seed: int) -> None:
    rng = Random(seed)
    whole, model = worked(seed)
    for _ in range(20):
        fs = whole.clone()
        faults = [harm(fs, rng) for _ in range(rng.choice((1, 1, 2, 4)))]
        done, new = repaired(fs)
        proved(done, new, model, faults)


def test_the_measure_finds_a_loss_that_is_not_named() -> None:
    """The control: the same damage, with the list of what was lost thrown away."""
    fs, model = worked(3)
    path = max(path for path in fs.paths() if path.endswith("-0.seg") and any(fs.content(path)[DATA:]))
    content = bytearray(fs.content(path))
    content[DATA + 200] ^= 1
    fs.replace(path, bytes(content))
    done, new = repaired(fs)
    assert done.losses
    proved(done, new, model)
    silent = done._replace(losses=[], versions=[], compacted=model.compacted)
    assert unexplained(model, Engine.open(DIRECTORY, new, OPTIONS), silent) != []


def plain() -> tuple[MemoryFileSystem, Model]:
    """Three keys of one version, and a fourth that is overwritten and then deleted; all in the index on the disk."""
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
    model = Model()
    for changes in ([(b"a", b"1")], [(b"b", b"2")], [(b"c", b"3")], [(b"d", b"4")], [(b"d", b"5")], [(b"d", None)]):
        commit = model.commit(changes)
        write(engine, commit)
        model.apply(commit)
    while engine.background.index_step(1 << 20, everything=True):
        pass
    engine.close()
    return fs.clone(), model


def hit(fs: MemoryFileSystem, number: int) -> None:
    """Flip a bit in the value of the batch with that number."""
    path = f"{DIRECTORY}/{segment_name(1, 0)}"
    content = bytearray(fs.content(path))
    content[DATA + 512 * number + 72 + 62] ^= 1
    fs.replace(path, bytes(content))


def test_the_index_names_a_lost_key() -> None:
    fs, model = plain()
    hit(fs, 1)
    done, new = repaired(fs)
    [loss], [version] = done.losses, done.versions
    assert (loss.file, loss.offset, loss.first, loss.last) == ("00000001-0.seg", DATA + 512 + 72, 3, 3)
    assert (version.key, version.first, version.last) == (b"b", 3, 3)
    assert (version.kept, version.newer) == (0, False)
    assert (done.revision, done.compacted, done.keys) == (7, 4, 2)
    proved(done, new, model)


def test_a_deletion_that_was_lost_is_known_from_the_index() -> None:
    fs, model = plain()
    hit(fs, 5)
    done, new = repaired(fs)
    engine = Engine.open(DIRECTORY, new, OPTIONS)
    assert [version.key for version in engine.view.versions(b"", None, 0)] == [b"a", b"b", b"c"]
    engine.close()
    proved(done, new, model)


def test_a_lost_version_between_two_is_history() -> None:
    fs, model = plain()
    hit(fs, 4)
    done, new = repaired(fs)
    [version] = done.versions
    assert (version.key, version.first, version.last) == (b"d", 6, 6)
    assert (version.kept, version.newer) == (7, True)
    proved(done, new, model)


def test_a_log_that_ends_in_damage_may_have_had_more() -> None:
    fs, _model = plain()
    path = f"{DIRECTORY}/{segment_name(1, 0)}"
    content = bytearray(fs.content(path))
    content[DATA + 512 * 5 + 20] ^= 1
    fs.replace(path, bytes(content))
    done, new = repaired(fs, 100)
    assert "--bump-revision" in str(done.findings)
    assert done.losses[0].is_open
    assert (done.revision, done.compacted) == (107, 107)
    assert check(DIRECTORY, new).findings == []


def test_an_unfinished_write_is_no_loss() -> None:
    fs, model = worked(2)
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    commit = model.commit([(b"k", b"v" * 2000)])
    prepared = engine.encode(commit)
    engine.write(prepared)
    engine.close()
    path, at = prepared.segment.path, prepared.offset
    content = bytearray(fs.content(path))
    content[at + 512 : at + 1024] = bytes(512)
    fs.replace(path, bytes(content))
    done, new = repaired(fs)
    assert done.complete
    engine = Engine.open(DIRECTORY, new, OPTIONS)
    model.check(engine)


def test_what_a_migration_brought_along_is_saved() -> None:
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    kept = [imported(b"a", b"1", 3, 9, 2), imported(b"b", b"2", 4, 4, 1)]
    model = Model()
    write(engine, commit := Commit(9, kept, [None, None], compact=9, imported=True))
    model.apply(commit)
    write(engine, commit := model.commit([(b"a", b"3")]))
    model.apply(commit)
    engine.close()
    done, new = repaired(fs.clone())
    assert done.complete
    engine = Engine.open(DIRECTORY, new, OPTIONS)
    model.check(engine)


def test_nothing_is_written_over_and_nothing_is_taken_from_a_running_store(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    engine = Engine.open(source)
    with pytest.raises(StoreInUse):
        repair(str(source), target)
    engine.close()
    target.mkdir()
    (target / "file").touch()
    with pytest.raises(NotEmpty):
        repair(str(source), target)


# -- dump -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_dump_leaves_no_byte_out(seed: int) -> None:
    """What it names follows without a gap, but for the zeros behind batches."""
    fs, _model = worked(seed)
    for path in fs.paths():
        name = path.rpartition("/")[2]
        if not name.endswith((".seg", ".run")):
            continue
        content, end = fs.content(path), 0
        for entry in dump(DIRECTORY, fs, name):
            assert entry.kind != DAMAGED
            if entry.length:
                assert entry.offset >= end
                assert not any(content[end : entry.offset])
                end = entry.offset + entry.length
        assert not any(content[end:])


@pytest.mark.parametrize("seed", range(3))
def test_a_dump_shows_every_version(seed: int) -> None:
    fs, model = worked(seed)
    shown = {
        (entry.fields["key"], entry.fields["mod"], entry.fields["version"])
        for entry in dump(DIRECTORY, fs)
        if "kv_bytes" in entry.fields
    }
    live = {(v.key, v.mod_revision, v.version) for v in model.range(b"", None)}
    assert live <= shown
    assert shown <= {(v.key, v.mod_revision, v.version) for versions in model.keys.values() for v in versions}


def test_a_dump_goes_on_behind_damage() -> None:
    fs, _model = plain()
    whole = list(dump(DIRECTORY, fs))
    hit(fs, 1)
    found = list(dump(DIRECTORY, fs))
    [damage] = [entry for entry in found if entry.kind == DAMAGED]
    assert (damage.file, damage.offset) == ("00000001-0.seg", DATA + 512 + 72)
    assert [entry for entry in whole if entry not in found] == [
        entry for entry in whole if entry.offset == damage.offset and entry.file == damage.file
    ]


def test_the_end_of_a_segment_that_turned_into_zeros_is_missed() -> None:
    """Whatever follows the segment: by the sequences of batches, which a packed segment knows too."""
    followed: set[int] = set()
    for seed in range(40):
        if len(followed) == 2:
            break
        whole, model = worked(seed)
        store = survey(DIRECTORY, whole)
        for part, after in zip(store.parts, store.parts[1:], strict=False):
            if part.kind != LOG or part.number + 1 != after.number:
                continue
            if not any(entry.kind in ("batch", "extent") for entry in dump(DIRECTORY, whole, after.name)):
                continue  # made ahead, and empty: the log ends in the one before
            fs = whole.clone()
            path = f"{DIRECTORY}/{part.name}"
            content = bytearray(fs.content(path))
            batches = [entry for entry in dump(DIRECTORY, fs, part.name) if entry.kind == "batch"]
            content[batches[-1].offset :] = bytes(len(content) - batches[-1].offset)
            fs.replace(path, bytes(content))
            done, new = repaired(fs)
            assert not done.complete
            proved(done, new, model)
            followed.add(after.kind)
    assert followed == {LOG, PACKED}
