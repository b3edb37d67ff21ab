"""Every call to the file system fails once: nothing is acknowledged falsely, nothing acknowledged is lost."""

import errno
from random import Random

import pytest

from brainctl.engine.engine import Engine
from brainctl.errors import BrainctlError, StoreFailed, StoreFull
from brainctl.mvcc.commit import Commit
from tests.faults.crash.workload import OPTIONS, Workload, check
from tests.support.faulty_fs import FaultyFileSystem
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import write

pytestmark = pytest.mark.crash
SHORT = 0
KINDS = ["write", "sync", "allocate", "create", "rename", "sync_directory", "unlink", "map", "open", "read", "names"]


def run_with_fault(kind: str, number: int, error: int) -> tuple[Workload, MemoryFileSystem, BrainctlError | None, bool]:
    memory = MemoryFileSystem()
    fs = FaultyFileSystem(memory)
    fs.fail(kind, number, error)
    workload = Workload(5)
    failure: BrainctlError | None = None
    try:
        workload.run(fs, 50)
    except BrainctlError as caught:
        failure = caught
    return workload, memory, failure, fs.hit


FAULTS = [(kind, error) for kind in KINDS for error in (errno.EIO, errno.ENOSPC)]
FAULTS += [(kind, errno.EMFILE) for kind in ("open", "create", "names", "sync_directory")]


@pytest.mark.parametrize(("kind", "error"), [*FAULTS, ("write", SHORT)])
def test_each_call_fails_once(kind: str, error: int):
    number = 1
    while True:
        workload, memory, failure, hit = run_with_fault(kind, number, error)
        if not hit:
            break
        if failure is not None and workload.engine is not None:
            assert_stopped(workload, failure)
        assert error != SHORT or failure is None
        check(memory.clone(), workload.models, workload.acknowledged)
        check(memory.crash_clone(Random(number)), workload.models, workload.acknowledged)
        number += 1
    assert number > 1


def test_every_kind_of_call_is_made_to_fail():
    fs = FaultyFileSystem(MemoryFileSystem())
    Workload(5).run(fs, 50)
    assert set(fs.calls) - {"lock", "make_directory"} == set(KINDS)


def assert_stopped(workload: Workload, failure: BrainctlError):
    """No write is taken any more, and reads go on."""
    engine = workload.engine
    assert engine is not None
    shown = workload.models[workload.acknowledged]
    shown.check(engine, [shown.compacted])
    with pytest.raises(type(failure)):
        write(engine, Commit(engine.view.revision))
    with pytest.raises((StoreFailed, StoreFull)):
        write(engine, Commit(engine.view.revision))


def test_a_full_disk_is_named():
    fs = FaultyFileSystem(MemoryFileSystem())
    workload = Workload(5)
    workload.run(fs, 0)
    fs.fail("sync", 1, errno.ENOSPC)
    engine = workload.engine
    assert engine is not None
    with pytest.raises(StoreFull, match="/d: "):
        write(engine, Commit(1, meta={b"a": b"b"}))
    assert isinstance(engine.failure, StoreFull)


def test_a_sync_is_never_tried_again():
    fs = FaultyFileSystem(MemoryFileSystem())
    workload = Workload(5)
    workload.run(fs, 10)
    engine = workload.engine
    assert engine is not None
    fs.fail("sync", 1, errno.EIO)
    with pytest.raises(StoreFailed):
        write(engine, workload.models[-1].commit([(b"k", b"v")]))
    syncs = fs.calls["sync"]
    with pytest.raises(StoreFailed):
        write(engine, workload.models[-1].commit([(b"k", b"v")]))
    assert fs.calls["sync"] == syncs


@pytest.mark.parametrize("job", ["pack", "index"])
@pytest.mark.parametrize("call", range(1, 11))
def test_what_a_full_disk_left_is_in_nobodys_way(job: str, call: int):
    """Background work runs out of space, and cannot even remove what it has written: it is done later."""
    fs = FaultyFileSystem(MemoryFileSystem())
    workload = Workload(5)
    workload.run(fs, 0)
    engine, model = workload.engine, workload.models[-1]
    assert engine is not None
    for number in range(60):
        commit = model.commit([(b"key/%d" % (number % 12 if number % 3 else number), b"v" * 700)])
        write(engine, commit)
        model.apply(commit)
    compaction = Commit(model.revision, compact=model.revision)
    write(engine, compaction)
    model.apply(compaction)
    fs.fail("write", call, errno.ENOSPC)
    fs.fail("unlink", 1, errno.ENOSPC)
    for _ in range(3):
        if job == "index":
            while engine.background.index_step(1 << 20, everything=True):
                pass
        for _ in engine.background.defragment():
            pass
    assert fs.hit
    assert engine.failure is None
    model.check(engine)
    engine.close()
    model.check(Engine.open("/d", fs.inner, OPTIONS))
