"""What the engine says it writes is what a device of its own sees, within 5 %; where loop devices can be had."""

import os
from pathlib import Path

import pytest

from bench.device import LOADS, Row, table
from bench.loopdevice import loop_device, usable
from brainctl.engine.engine import Engine, EngineOptions
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import put_version
from tests.unit.engine.model import write

OPTIONS = EngineOptions(segment_size=8 << 20)
KEYS = 4000


def commit(engine: Engine, first: int) -> None:
    made = Commit(engine.view.revision)
    for number in range(first, first + 400):
        key = b"key/%06d" % (number % KEYS)
        before = engine.view.get(key)
        made.revision += 1
        made.changes.append(put_version(key, os.urandom(1000), 0, made.revision, 0, before))
        made.before.append(before)
    write(engine, made)


@pytest.mark.skipif(not usable(), reason="loop devices need root")
def test_categories_agree_with_the_device(tmp_path: Path):
    """Groups are large, so that the file system's own writes are few beside them."""
    with loop_device(tmp_path, 512 << 20) as device:
        engine = Engine.open(device.directory / "store", options=OPTIONS)
        os.sync()
        before, said = device.counted(), engine.stats.written_bytes
        for number in range(80):
            commit(engine, number * 400)
            if number % 16 == 15:
                write(engine, Commit(engine.view.revision, compact=engine.view.revision))
                while engine.background.reclaim_step(1 << 20):
                    pass
        while engine.background.index_step(1 << 20, everything=True):
            pass
        for _ in engine.background.defragment():
            pass
        os.sync()
        stats, written = engine.stats, device.counted().since(before).written
        assert stats.recycled_segments, "no file was used again"
        assert stats.reclaim_bytes, "nothing was rewritten"
        assert stats.written_bytes - said == pytest.approx(written, rel=0.05)
        engine.close()


def test_the_table_shows_what_was_measured():
    row = Row(100, 50.0, 2.0, 0.04, 4096.0, 0.5, {"log": 1.0, "padding": 0.25, "zero": 0.25} | dict.fromkeys(
        ("reclaim", "index", "meta"), 0.0))  # fmt: skip
    assert row.agreement == 1.0
    etcd = row._replace(device=8.0, categories={}, flushes_per_put=1.5)
    assert etcd.agreement is None
    both = {"etcd": etcd._asdict(), "brainctl": row._asdict() | {"agreement": row.agreement}}
    line = table({LOADS[0].name: both}).splitlines()[2]
    assert line == (
        f"| {LOADS[0].name} | 8.00 | **2.00** | 0.25 | 1.25 | 0.25 | 0.00 | 0.00 | 0.50 | 1.000 | 1.500 | **0.040** |"
    )
