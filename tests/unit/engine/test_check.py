"""`check` finds what is wrong, names the place, and calls sound stores sound."""

from collections.abc import Callable, Iterator
from random import Random
from struct import pack_into

import pytest
from crc32c import crc32c

from brainctl.engine.engine import Engine
from brainctl.engine.format import batch, record
from brainctl.engine.format.index_entry import DELETED, LEASED, ONE, SHIFT
from brainctl.engine.index.memtable import MemTable
from brainctl.engine.offline.check import check
from brainctl.engine.offline.info import read_info
from brainctl.errors import StoreInUse
from brainctl.mvcc.commit import Commit
from tests.faults.crash.workload import DIRECTORY, OPTIONS, Workload
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, write

PATH = f"{DIRECTORY}/00000001-0.seg"
FIRST = 4096 + batch.HEADER_SIZE


def store_of(*puts: tuple[bytes, bytes | None]) -> MemoryFileSystem:
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
    model = Model()
    commit = model.commit(*[[put] for put in puts])
    write(engine, commit)
    engine.close()
    return fs.clone()


def rewrite(fs: MemoryFileSystem, offset: int, change: bytes) -> None:
    """Change bytes of the only batch, and make all its checks right again: what a bug would do, not a disk."""
    content = bytearray(fs.content(PATH))
    content[offset : offset + len(change)] = change
    old = batch.unpack(content[4096:FIRST], seed := segment_seed(fs))
    assert old is not None
    at, end = FIRST, FIRST + old.length
    while at < end:
        length = record.read_place(content, at)[0]
        pack_into("<I", content, at + length - 4, crc32c(content[at : at + length - 4]))
        at += length
    content[4096:FIRST] = batch.pack(old._replace(crc=crc32c(bytes(content[FIRST:end]), seed)), seed)
    fs.replace(PATH, bytes(content))


def segment_seed(fs: MemoryFileSystem) -> int:
    engine = Engine.open(DIRECTORY, fs.clone(), OPTIONS)
    return engine._segments[1].seed


@pytest.mark.parametrize("seed", range(4))
def test_a_sound_store_is_sound(seed: int):
    fs = MemoryFileSystem()
    workload = Workload(seed)
    workload.run(fs, 80)
    assert workload.engine is not None
    workload.engine.close()
    report = check(DIRECTORY, fs.clone())
    assert report.findings == []
    assert report.info is not None
    model = workload.models[-1]
    assert (report.info.revision, report.info.compacted) == (model.revision, model.compacted)
    assert report.info.keys == len(model.range(b"", None))
    assert report.records > 0


def test_flipped_bits_are_found():
    fs = store_of((b"a", b"1" * 400), (b"b", b"2"), (b"a", None))
    content = fs.content(PATH)
    for at in range(4096, 4096 + 1200, 11):
        if content[at]:
            damaged = bytearray(content)
            damaged[at] ^= 4
            fs.replace(PATH, bytes(damaged))
            [finding] = check(DIRECTORY, fs).findings
            assert PATH in finding
            assert "offset" in finding


def test_padding_is_looked_at():
    fs = store_of((b"a", b"1"))
    content = bytearray(fs.content(PATH))
    content[4096 + 510] = 1
    fs.replace(PATH, bytes(content))
    [finding] = check(DIRECTORY, fs).findings
    assert "padding" in finding


@pytest.mark.parametrize(
    ("offset", "change", "finding"),
    [
        (8, b"\x02", "other revisions"),
        (24, b"\x05", "other revisions"),
        (40, b"\x00\x10", "is missing"),
        (record.HEADER_SIZE, b"\xff\xff", "holds no key-value"),
        (record.HEADER_SIZE + 1, b"\x02", "holds no key-value"),
    ],
)
def test_what_only_a_bug_could_write_is_found(offset: int, change: bytes, finding: str):
    """The second version of a key contradicts itself or the first, with every CRC right."""
    fs = store_of((b"k", b"v"), (b"k", b"w"))
    first = record.read_place(fs.content(PATH), FIRST)[0]
    assert check(DIRECTORY, fs).findings == []
    rewrite(fs, FIRST + first + offset, change)
    assert finding in str(check(DIRECTORY, fs).findings)


def test_a_store_in_use_is_not_checked():
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS)
    with pytest.raises(StoreInUse, match=r"process \d+"):
        check(DIRECTORY, fs)
    engine.close()
    check(DIRECTORY, fs)


def test_space_is_accounted_for():
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
    model = Model()
    for value in (b"one", b"two", b"three"):
        commit = model.commit([(b"k", value * 100)])
        write(engine, commit)
        model.apply(commit)
    write(engine, Commit(model.revision, compact=3))
    info = read_info(DIRECTORY, fs)
    [segment] = info.segments
    assert (segment.dead, segment.history, segment.live) == (64 + 312, 64 + 312, 64 + 512)
    assert segment.used == engine.size
    assert info.records == {}


def test_a_revision_that_is_passed_over_is_found():
    """A batch that begins later than the one before it ended, with every CRC right."""
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
    model = Model()
    for value in (b"1", b"2", b"3"):
        write(engine, commit := model.commit([(b"k", value)]))
        model.apply(commit)
    engine.close()
    assert check(DIRECTORY, fs).findings == []
    seed, at = segment_seed(fs), 4096 + 512
    content = bytearray(fs.content(PATH))
    old = batch.unpack(content[at : at + 72], seed)
    assert old is not None
    content[at : at + 72] = batch.pack(old._replace(first=old.first + 1), seed)
    fs.replace(PATH, bytes(content))
    [finding] = check(DIRECTORY, fs).findings
    assert finding == f"{PATH}: the batch at offset {at} begins with revision 4 after 2"


def indexed(plant: Callable[[], None] = lambda: None) -> MemoryFileSystem:
    """A store with its index on the disk: live keys with and without a lease, and a deleted one."""
    fs = MemoryFileSystem()
    engine = Engine.open(DIRECTORY, fs, OPTIONS, Random(1))
    model = Model()
    for number in range(40):
        write(engine, commit := model.commit([(b"key/%02d" % number, b"v")], lease=7 if number % 3 == 0 else 0))
        model.apply(commit)
    write(engine, commit := model.commit([(b"key/11", None)]))
    model.apply(commit)
    plant()
    while engine.background.index_step(1 << 20, everything=True):
        pass
    engine.close()
    return fs.clone()


def wrong_entry(change: Callable[[bytes, int], int]) -> Callable[[pytest.MonkeyPatch], None]:
    def plant_it(monkeypatch: pytest.MonkeyPatch) -> None:
        pages = MemTable.pages

        def changed(delta: MemTable) -> Iterator[tuple[list[bytes], list[int]]]:
            for keys, entries in pages(delta):
                yield keys, [change(key, entry) for key, entry in zip(keys, entries, strict=True)]

        monkeypatch.setattr(MemTable, "pages", changed)

    return plant_it


@pytest.mark.parametrize(
    ("bug", "finding"),
    [
        (wrong_entry(lambda key, entry: entry ^ LEASED if key == b"key/05" else entry), "what its version says"),
        (wrong_entry(lambda key, entry: entry ^ DELETED if key == b"key/11" else entry), "is gone"),
        (wrong_entry(lambda key, entry: entry + ONE if key == b"key/07" else entry), "the gains add up to 40 keys"),
        (wrong_entry(lambda key, entry: entry + (512 << SHIFT) if key == b"key/07" else entry), "as the address of"),
    ],
)
def test_an_index_that_says_something_else_than_the_log_is_found(
    monkeypatch: pytest.MonkeyPatch, bug: Callable[[pytest.MonkeyPatch], None], finding: str
):
    """What a bug would write: every CRC is right."""
    assert check(DIRECTORY, indexed()).findings == []
    assert finding in str(check(DIRECTORY, indexed(lambda: bug(monkeypatch))).findings)
