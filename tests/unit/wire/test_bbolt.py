"""The bbolt codec against itself and against the real etcdutl, which checks every page."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainctl.errors import StoreDamaged
from brainctl.wire import bbolt
from brainctl.wire.bbolt import PAGE_SIZE, Reader, Writer
from tests.peers import require

Buckets = dict[bytes, dict[bytes, bytes]]
buckets = st.dictionaries(
    st.binary(min_size=1, max_size=20),
    st.dictionaries(st.binary(min_size=1, max_size=900), st.binary(max_size=3000), max_size=40),
    max_size=5,
)


def build(content: Buckets) -> bytes:
    pages: list[bytes] = []
    writer = Writer(pages.append)
    for name in sorted(content):
        writer.bucket(name, sorted(content[name].items()))
    return writer.finish() + b"".join(pages)


@given(buckets)
def test_what_was_written_is_read(content: Buckets) -> None:
    reader = Reader(build(content))
    assert {name: dict(reader.items(name)) for name in reader.buckets} == content


def test_a_large_tree_is_ordered_and_whole() -> None:
    items = {b"%08d" % number: b"v" * (number % 700) for number in range(20_000)}
    reader = Reader(build({b"key": items}))
    assert list(reader.items(b"key")) == sorted(items.items())


def revision_key(main: int, sub: int) -> bytes:
    return main.to_bytes(8) + b"_" + sub.to_bytes(8)


def status(path: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(require("etcdutl")), "snapshot", "status", str(path), "-w", "json"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_etcdutl_finds_every_page_sound(tmp_path: Path) -> None:
    kv = b"\n\x01k\x10\x02\x18\x02\x20\x01*\x82\x40" + b"x" * 8194
    content = {b"key": {revision_key(n, 0): kv for n in range(2, 3000)}, b"meta": {}}
    data = build(content)
    path = tmp_path / "snapshot.db"
    path.write_bytes(data + hashlib.sha256(data).digest())
    result = status(path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["revision"] == 2999


def test_control_etcdutl_refuses_a_misplaced_page(tmp_path: Path) -> None:
    data = bytearray(build({b"key": {revision_key(n, 0): b"\n\x01k" + b"" for n in range(2, 3000)}}))
    data[4 * PAGE_SIZE : 4 * PAGE_SIZE + 8] = (99).to_bytes(8, "little")
    path = tmp_path / "snapshot.db"
    path.write_bytes(data)
    assert status(path).returncode != 0
    with pytest.raises(StoreDamaged, match="says that it is page 99"):
        list(Reader(bytes(data)).items(b"key"))


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"\0" * 3 * PAGE_SIZE])
def test_what_is_no_bbolt_file_is_refused(data: bytes) -> None:
    with pytest.raises(StoreDamaged):
        Reader(data)


def test_pages_that_lead_to_each_other_come_to_an_end() -> None:
    """Each of twelve pages names the next one sixty times: as a tree that would be 60^12 pages."""
    pages = [bbolt._page(number, 1, 60, bbolt._BRANCH.pack(0, 0, number + 1) * 60) for number in range(2, 14)]
    body = bbolt._META.pack(bbolt._MAGIC, 2, PAGE_SIZE, 0, 2, 0, 2, 15, 1)
    meta = [bbolt._page(number, 4, 0, body + bbolt.fnv64a(body).to_bytes(8, "little")) for number in (0, 1)]
    last = bbolt._page(14, 2, 0, b"")
    with pytest.raises(StoreDamaged, match="no end"):
        Reader(b"".join([*meta, *pages, last]))
