"""Runs of the index: what they hold, when they are merged, and that they never disagree with the log."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.format import bloom_filter
from brainctl.engine.format.file_names import run_name
from brainctl.engine.format.run_header import RunHeader, Section, pack_header, unpack_header
from brainctl.engine.index import key_index as index
from brainctl.engine.index.log_coverage import LogCoverage, SegmentState, Superseded
from brainctl.engine.index.run_merge import FANOUT, pick_runs
from brainctl.engine.index.run_reader import Run
from brainctl.engine.index.run_writer import RunWriter
from brainctl.engine.offline.check import check
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.mvcc.commit import Commit
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Changes, Model, write

OPTIONS = EngineOptions(segment_size=16 << 10, zero_ahead=0, garbage_ratio=0.5)
KEYS = st.binary(max_size=12) | st.binary(max_size=3).map(lambda part: part + b"k" * 3000)
ENTRIES = st.tuples(st.integers(1, 2**59), st.integers(-1, 1), st.booleans())


def entry_of(address: int, gain: int, leased: bool) -> int:
    return address << 4 | (gain + 1) << 2 | (2 if leased else 0)


@given(keys=st.dictionaries(KEYS, ENTRIES, max_size=300), probes=st.lists(KEYS, max_size=20))
def test_a_run_gives_back_what_was_written(keys: dict[bytes, tuple[int, int, bool]], probes: list[bytes]):
    fs = MemoryFileSystem()
    want = {key: entry_of(*fields) for key, fields in sorted(keys.items())}
    file = fs.create(f"/d/{run_name(3)}")
    writer = RunWriter(file, 77, 3, len(want))
    for first in range(0, len(want), 70):
        writer.add(list(want)[first : first + 70], list(want.values())[first : first + 70])
    writer.finish(Superseded(), LogCoverage())
    run = Run.open("/d", fs, 77, 3)
    assert run.slice(b"", None, len(want) + 1) == (list(want), list(want.values()))
    assert list(run.prove()) == list(want.items())
    assert list(run.leased()) == [key for key, fields in sorted(keys.items()) if fields[2]]
    for probe in [*probes, *want]:
        place, bits = bloom_filter.spread(probe)
        assert run.find(probe) == want.get(probe)
        assert probe not in want or run.filter[place * len(run.filter) >> 32] & bits == bits
        assert run.gained(probe) == sum(gain for key, (_, gain, _) in keys.items() if key < probe)
        after = [key for key in want if key >= probe]
        assert run.slice(probe, None, 5)[0][:5] == after[:5]
    assert run.gained(None) == sum(gain for _, gain, _ in keys.values())


def test_headers_and_sections_are_what_they_were():
    header = RunHeader(7, 2**63, 10_000, 5, -3, 4096, 9000, tuple(Section(at * 100, 50, at) for at in range(3)))
    assert unpack_header(pack_header(header), "x") == header
    covered = LogCoverage(3, 8192, 44, 90, 80, {b"\xff\0": b"\x80"}, {3: SegmentState(0, 40, 44, 8192, 700, 300)})
    assert LogCoverage.unpack(covered.pack()) == covered
    noted = Superseded()
    noted.revisions.extend([4, 5])
    noted.addresses.extend([1 << 32, 2 << 32])
    noted.grave_revisions.append(9)
    noted.graves.append(3 << 32)
    assert Superseded.unpack(noted.pack()) == noted
    assert Superseded.unpack(Superseded().pack()) == Superseded()


@given(st.lists(st.integers(1, 10**8), max_size=40))
def test_runs_are_picked_until_few_of_a_size_are_left(sizes: list[int]):
    """Merging whatever is picked ends, and leaves fewer than FANOUT runs of one tier in a row."""
    while (picked := pick_runs(sizes)) is not None:
        first, last = picked
        assert last - first >= FANOUT
        sizes[first:last] = [sum(sizes[first:last])]
    tiers = [size.bit_length() // 2 for size in sizes]
    assert all(len(set(tiers[at : at + FANOUT])) > 1 for at in range(len(tiers) - FANOUT + 1))


def test_a_key_is_written_a_few_times_only():
    """A store of a thousand deltas has few runs, and every key was written as often as there are tiers."""
    sizes: list[int] = []
    written = 0
    for _ in range(1000):
        sizes.insert(0, 1000)
        written += 1000
        while (picked := pick_runs(sizes)) is not None:
            total = sum(sizes[slice(*picked)])
            sizes[slice(*picked)] = [total]
            written += total
    assert len(sizes) <= 3 * 6
    assert written / sum(sizes) <= 6


def test_the_filter_lets_few_others_pass():
    words = bloom_filter.make(10_000)
    bloom_filter.add(words, [b"key/%d" % number for number in range(10_000)])
    passed = 0
    for number in range(20_000):
        place, bits = bloom_filter.spread(b"key/%d" % number)
        hit = words[place * len(words) >> 32] & bits == bits
        assert hit or number >= 10_000
        passed += hit
    assert passed < 10_800


class _Store:
    def __init__(self) -> None:
        self.fs, self.model = MemoryFileSystem(), Model()
        self.engine = Engine.open("/d", self.fs, OPTIONS, Random(1))

    def put(self, *changes: Changes, lease: int = 0) -> None:
        commit = self.model.commit(*changes, lease=lease)
        write(self.engine, commit)
        self.model.apply(commit)

    def compact(self) -> None:
        commit = Commit(self.model.revision, compact=self.model.revision)
        write(self.engine, commit)
        self.model.apply(commit)

    def index(self) -> None:
        while self.engine.background.index_step(4096, everything=True):
            pass

    def reopen(self) -> None:
        self.fs = self.fs.clone()
        self.engine = Engine.open("/d", self.fs, OPTIONS)
        self.model.check(self.engine)

    def runs(self) -> list[str]:
        return [path for path in self.fs.paths() if path.endswith(".run")]


def reclaim_never_outruns_the_index():
    """A version that was superseded by one that is gone by now is still known to be dead: its key stays deleted."""
    store = _Store()
    store.put([(b"deleted", b"v" * 1000)])
    first = store.engine._segments[1]
    while first.size - first.end >= 1536:
        store.put([(b"stays/%d" % first.end, b"v" * 1000)])
    store.index()
    for _ in range(40):
        store.put([(b"deleted", b"v" * 1000)])
    store.compact()
    while store.engine.background.reclaim_step(1 << 20):
        pass
    store.reopen()
    assert store.engine._index.runs, "the runs were given up"
    store.put([(b"deleted", None)])
    for number in range(40):
        store.put([(b"later/%d" % (number % 2), b"v" * 1000)])
    store.compact()
    store.index()
    while store.engine.background.reclaim_step(1 << 20):
        pass
    store.reopen()
    for path in store.runs():
        store.fs.unlink(path)
    store.reopen()


def test_reclaim_never_outruns_the_index():
    reclaim_never_outruns_the_index()


def test_opening_reads_what_no_run_covers():
    store = _Store()
    for number in range(40):
        store.put([(b"key/%d" % number, b"v" * 900)], lease=number % 3)
    store.index()
    store.put([(b"key/3", b"new")], [(b"key/4", None)])
    before = store.fs.content("/d/00000001-0.seg")
    broken = bytearray(before)
    broken[5000] ^= 1
    fs = store.fs.clone()
    fs.replace("/d/00000001-0.seg", bytes(broken))
    engine = Engine.open("/d", fs, OPTIONS)
    assert engine.keys == 39
    assert engine.view.count(b"key/3", None, 0) == sum(v.key >= b"key/3" for v in store.model.range(b"", None))
    assert [v.key for v in engine.view.leased()] == [v.key for v in store.model.range(b"", None) if v.lease]
    engine.close()
    assert check("/d", fs).findings
    assert not check("/d", store.fs.clone()).findings


def test_deleted_keys_leave_the_runs(tmp_path: Path):
    engine, model = Engine.open(tmp_path, OsFileSystem(), OPTIONS), Model()
    for changes in ([(b"a", b"1"), (b"b", b"2")], [(b"a", None)], [(b"c", b"3")], [(b"c", None)], [(b"d", b"4")]):
        commit = model.commit(changes)
        commit.compact = commit.revision if changes[0][0] == b"d" else 0
        write(engine, commit)
        model.apply(commit)
        while engine.background.index_step(1, everything=True):
            pass
        model.check(engine, [model.compacted])
    engine.close()
    engine = Engine.open(tmp_path, OsFileSystem(), OPTIONS)
    model.check(engine)
    engine.close()
    assert not check(tmp_path).findings


def test_keys_that_are_only_written_do_not_pile_up_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(index, "_KNOWN", 50)
    engine, model = Engine.open(tmp_path, OsFileSystem(), OPTIONS), Model()
    for first in range(0, 600, 20):
        changes: Changes = [(b"key/%d" % number, b"v") for number in range(first, first + 20)]
        changes += [(b"key/%d" % (first // 3), b"again"), (b"key/%d" % (first // 2), None)]
        commit = model.commit(changes)
        write(engine, commit)
        model.apply(commit)
        while engine.background.index_step(1, everything=True):
            pass
        assert len(engine._index._young) <= 50
        assert len(engine._index._old) <= 50
    model.check(engine)
    engine.close()
