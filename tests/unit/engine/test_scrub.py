"""A scrub finds whatever rots on the backend, whatever goes on beside it, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from brainctl.engine.background.scrubber import Scrub
from brainctl.engine.engine import Engine
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.mvcc.commit import Commit
from tests.faults.crash.workload import DIRECTORY, OPTIONS, Workload
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, write

BUDGET = 1024


def worked(seed: int) -> MemoryFileSystem:
    fs = MemoryFileSystem()
    workload = Workload(seed)
    workload.run(fs, 50)
    assert workload.engine is not None
    workload.engine.close()
    return fs.clone()


def whole(scrub: Scrub) -> Scrub:
    for work in scrub.run(1 << 20):
        work()
    return scrub


def used(fs: MemoryFileSystem, engine: Engine) -> Iterator[tuple[str, int]]:
    """Each file of the store and how much of it holds something."""
    for part in engine._segments.values():
        yield part.path, part.end
    for run in engine._index.runs:
        yield run.path, len(fs.content(run.path))


@pytest.mark.parametrize("seed", range(4))
def test_a_sound_store_has_no_findings(seed: int) -> None:
    fs = worked(seed)
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    scrub = whole(engine.background.scrub())
    assert scrub.finished
    assert scrub.findings == scrub.skipped == []
    assert scrub.bytes >= sum(end for _path, end in used(fs, engine))


@pytest.mark.parametrize("seed", range(4))
def test_every_flipped_bit_is_found(seed: int) -> None:
    """On the backend alone: the memory of the process still has the bytes as they were written."""
    fs = worked(seed)
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    rng = Random(seed)
    for path, end in list(used(fs, engine)):
        sound = fs.content(path)
        for at in rng.sample(range(end), 15):
            if not sound[at]:
                continue  # it may be padding, which nobody reads
            fs.replace(path, sound[:at] + bytes([sound[at] ^ 1 << rng.randrange(8)]) + sound[at + 1 :])
            [finding] = whole(engine.background.scrub()).findings
            assert finding.startswith(path)
            assert "offset" in finding
        fs.replace(path, sound)
    assert whole(engine.background.scrub()).findings == []


def test_a_missing_and_a_short_file_are_found() -> None:
    fs = worked(1)
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    (first, _), (second, end), *_ = used(fs, engine)
    fs.unlink(first)
    fs.replace(second, fs.content(second)[: end - 10])
    missing, short = whole(engine.background.scrub()).findings
    assert missing == f"{first}: the file is missing (offset 0)"
    assert short.startswith(second)


@pytest.mark.parametrize("seed", range(8))
def test_what_goes_on_beside_it_is_no_damage(seed: int) -> None:
    """Writes, compactions, reclaim, files used again and merged runs between the pieces of a pass."""
    rng = Random(seed)
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
    model = Model()
    write(engine, commit := model.commit([(b"first", b"")]))
    model.apply(commit)
    for _ in range(25):
        for work in engine.background.scrub().run(BUDGET):
            work()
            commit = model.commit([(b"key/%d" % rng.randrange(9), rng.randbytes(rng.choice((10, 900))))])
            write(engine, commit)
            model.apply(commit)
            if rng.random() < 0.2:
                write(engine, Commit(model.revision, compact=model.revision))
            for _ in range(rng.randrange(4)):
                engine.background.reclaim_step(BUDGET)
                engine.background.index_step(BUDGET)
        scrub = engine.background.scrub()
        assert whole(scrub).findings == []
    assert engine.stats.reclaimed_segments > 5


def test_damage_in_a_file_that_is_replaced_meanwhile_is_none_any_more() -> None:
    fs = worked(2)
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    number = min(engine._segments)
    path = engine._segments[number].path
    fs.replace(path, bytes(len(fs.content(path))))
    scrub = engine.background.scrub()
    passing = scrub.run(1 << 20)
    next(passing)()
    del engine._segments[number]
    for work in passing:
        work()
    assert scrub.findings == []


def test_the_medium_is_read_and_not_the_memory(tmp_path: Path) -> None:
    """Past the page cache, at any place and length, the bytes are those of the file."""
    path = tmp_path / "file"
    content = Random(1).randbytes(20_000)
    path.write_bytes(content)
    file = OsFileSystem().open(str(path), write=False)
    for offset, length in ((0, 20_000), (1, 1), (511, 4096), (4095, 2), (16_000, 9_000), (30_000, 10)):
        assert file.read_through(length, offset) == content[offset : offset + length]
    file.close()
