"""The worked examples in docs/formats are what the engine writes. BRAINCTL_UPDATE=1 writes them anew."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from textwrap import wrap

import pytest
from crc32c import crc32c

from brainctl.commands.store.files import text_line
from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.format import batch
from brainctl.engine.format.extent import EXTENT_SIZE
from brainctl.engine.format.record import HEADER_SIZE, META_SET, RESIDUE, crc_bytes
from brainctl.engine.format.run_header import START, unpack_header
from brainctl.engine.format.segment_header import DATA
from brainctl.engine.offline.dump import dump as dump_entries
from brainctl.mvcc.commit import Commit
from tests.support.memory_fs import MemoryFileSystem
from tests.unit.engine.model import Model, write

FORMATS = Path(__file__).parents[3] / "docs" / "formats"


def dump(data: bytes, offset: int) -> Iterator[str]:
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{offset + at:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{text}|"


def example() -> MemoryFileSystem:
    """A put with a lease beside the lease's own record, an overwrite, and a delete; then a compaction and reclaim."""
    fs = MemoryFileSystem()
    engine = Engine.open("/d", fs, EngineOptions(segment_size=16 << 10), Random(1))
    model = Model()
    first = model.commit([(b"/a", b"one")], lease=7)
    first.meta[b"lease/0000000000000007"] = (60).to_bytes(8)
    second = Model()
    second.apply(first)
    write(engine, first)
    for changes in ([(b"/a", b"two")], [(b"/b", b"three")], [(b"/a", None)]):
        commit = second.commit(changes)
        write(engine, commit)
        second.apply(commit)
    return fs


def packed() -> MemoryFileSystem:
    fs = example().clone()
    engine = Engine.open("/d", fs, EngineOptions(segment_size=16 << 10))
    write(engine, Commit(engine.view.revision, compact=4))
    for _ in engine.background.defragment():
        pass
    return fs


def indexed() -> MemoryFileSystem:
    fs = example().clone()
    engine = Engine.open("/d", fs, EngineOptions(segment_size=16 << 10))
    while engine.background.index_step(1 << 20, everything=True):
        pass
    return fs


def dumped(fs: MemoryFileSystem, only: str = "") -> str:
    lines = [text_line(entry).decode() for entry in dump_entries("/d", fs, only)]
    return "".join("\n".join(wrap(line.strip(), 120, subsequent_indent="    ")) + "\n" for line in lines).rstrip("\n")


def examples() -> dict[tuple[str, str], str]:
    fs = example()
    log = fs.content("/d/00000001-0.seg")
    length = int.from_bytes(log[DATA + 8 : DATA + 12], "little")
    records = log[DATA + batch.HEADER_SIZE : DATA + batch.HEADER_SIZE + length]
    small = packed()
    pack = small.content("/d/00000001-1.seg")
    run = indexed().content("/d/00000001.run")
    header = unpack_header(run[:START], "")
    return {
        ("run.md", "run header"): "\n".join(dump(run[:140], 0)),
        ("run.md", "run block"): "\n".join(dump(run[START : header.leaves], START)),
        ("run.md", "run sections"): "\n".join(dump(run[header.leaves :], header.leaves)),
        ("dump.md", "dump of a log"): dumped(example()),
        ("dump.md", "dump of a packed segment"): dumped(packed(), "00000001-1.seg"),
        ("dump.md", "dump of a run"): dumped(indexed(), "00000001.run"),
        ("manifest.md", "MANIFEST"): small.content("/d/MANIFEST").decode().rstrip("\n"),
        ("segment.md", "segment header"): "\n".join(dump(log[:64], 0)),
        ("segment.md", "extent"): "\n".join(dump(pack[DATA:], DATA)),
        ("batch.md", "batch"): "\n".join(dump(log[DATA : DATA + 72], DATA)),
        ("log-record.md", "records"): "\n".join(dump(records, DATA + batch.HEADER_SIZE)),
    }


@pytest.mark.parametrize(("name", "title"), list(examples()))
def test_examples_are_what_is_written(name: str, title: str):
    path = FORMATS / name
    text = path.read_text()
    pattern = re.compile(rf"(<!-- example: {title} -->\n```\n)(.*?)(```)", re.DOTALL)
    wanted = examples()[name, title] + "\n"
    if os.environ.get("BRAINCTL_UPDATE"):
        path.write_text(pattern.sub(lambda found: found[1] + wanted + found[3], text))
        return
    found = pattern.search(text)
    assert found is not None
    assert found[2] == wanted


def test_the_tables_name_the_right_places():
    """Offsets of docs/formats, read from the bytes of the example."""
    log = example().content("/d/00000001-0.seg")
    at = DATA + batch.HEADER_SIZE
    kind = log[at + 56]
    assert (log[:8], log[DATA : DATA + 4], kind) == (b"brainseg", b"bcB1", 0)
    number = int.from_bytes
    assert number(log[DATA + 40 : DATA + 48], "little") == 2
    assert number(log[at + 8 : at + 16], "little") == 2
    assert number(log[at + 32 : at + 40], "little") == 7
    length = number(log[at : at + 4], "little")
    assert number(log[at + 4 : at + 8], "little") == at
    assert log[at + 60 : at + length - 4].startswith(b"\n\x02/a")
    assert log[at + length + 56] == META_SET
    pack = packed().content("/d/00000001-1.seg")
    assert pack[DATA : DATA + 4] == b"bcX1"
    first = number(pack[DATA + 16 : DATA + 20], "little")
    assert number(pack[DATA + EXTENT_SIZE + 4 : DATA + EXTENT_SIZE + 8], "little") == first
    assert (HEADER_SIZE, len(crc_bytes(0)), EXTENT_SIZE, batch.HEADER_SIZE) == (60, 4, 24, 72)
    assert f"{RESIDUE:08x}" in (FORMATS / "log-record.md").read_text()
    run = indexed().content("/d/00000001.run")
    assert (run[:8], number(run[12:16], "little"), number(run[24:32], "little")) == (b"brainrun", 1, len(run))
    assert (number(run[32:40], "little"), number(run[40:48], "little"), number(run[48:56], "little")) == (2, 1, START)
    assert run[START + 4 : START + 12] == bytes((0, 0, 0, 0, 2, 0, 0, 0))


def test_the_check_by_hand_is_right():
    """The CRC that docs/formats/dump.md computes of the first record."""
    assert "[4168:4168 + 81]" in (FORMATS / "dump.md").read_text()
    assert crc32c(example().content("/d/00000001-0.seg")[4168 : 4168 + 81]) == RESIDUE == 0x48674BC7
