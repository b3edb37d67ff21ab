"""Stores that earlier builds wrote open, hold what they held, and go on; those of later builds are left alone.

The stores in tests/data/stores were made by scripts/make_store_fixture.py with the build that introduced each.
"""

import json
import tarfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.engine.log import manifest
from brainctl.engine.log.manifest import Listing
from brainctl.engine.offline.check import check
from brainctl.engine.offline.dump import DAMAGED, dump
from brainctl.engine.offline.repair import repair
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.errors import ExitCode, StoreTooNew
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from tests.peers.servers import brainctl
from tests.unit.engine.model import author, write

STORES = Path(__file__).parents[2] / "data" / "stores"
NAMES = sorted(path.name.partition(".")[0] for path in STORES.iterdir())
OPTIONS = EngineOptions(segment_size=16 << 10)
MANIFESTS = dict.fromkeys(("recycled", "runs", "runs2"), b'"format": 2') | {"log": b'"format": 1'}


def unpacked(name: str, directory: Path) -> tuple[Path, dict[str, Any]]:
    with tarfile.open(STORES / f"{name}.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return directory / "store", json.loads((directory / "expected.json").read_text())


def rows(versions: list[list[Any]]) -> list[KeyVersion]:
    return [
        KeyVersion(key.encode(), create, mod, number, lease, b64decode(kv), sub)
        for key, create, mod, number, lease, kv, sub in versions
    ]


def holds(engine: Engine, expected: dict[str, Any]) -> None:
    assert (engine.view.revision, engine.view.compacted) == (expected["revision"], expected["compacted"])
    assert {name.decode(): value.hex() for name, value in engine.meta(b"").items()} == expected["records"]
    for at, versions in expected["live"].items():
        assert list(engine.view.versions(b"", None, int(at))) == rows(versions)
    for version in rows(expected["live"][str(engine.view.revision)]):
        assert engine.view.get(version.key) == version
    found = engine.view.history(max(engine.view.compacted, 1), engine.view.revision)
    assert [change for revision in found for change in revision.changes] == rows(expected["history"])


def test_there_is_one_of_each() -> None:
    assert NAMES == sorted(MANIFESTS)


@pytest.mark.parametrize("name", NAMES)
def test_an_older_store_opens_and_goes_on(name: str, tmp_path: Path) -> None:
    store, expected = unpacked(name, tmp_path)
    assert MANIFESTS[name] in (store / "MANIFEST").read_bytes()
    assert check(store).findings == []
    assert [entry for entry in dump(str(store), OsFileSystem()) if entry.kind == DAMAGED] == []
    assert repair(str(store), tmp_path / "repaired").complete
    for directory in (store, tmp_path / "repaired"):
        engine = Engine.open(directory, options=OPTIONS)
        holds(engine, expected)
        engine.close()
    engine = Engine.open(store, options=OPTIONS)
    write(engine, author(engine.view.get, engine.view.revision, [(b"key/new", b"value")]))
    write(engine, Commit(engine.view.revision, compact=engine.view.revision))
    for _ in engine.background.defragment():
        pass
    while engine.background.index_step(1 << 20, everything=True):
        pass
    live = list(engine.view.versions(b"", None, 0))
    assert [version for version in live if version.key != b"key/new"] == rows(
        expected["live"][str(expected["revision"])]
    )
    engine.close()
    assert f'"format": {manifest.FORMAT}'.encode() in (store / "MANIFEST").read_bytes()
    assert check(store).findings == []
    engine = Engine.open(store, options=OPTIONS)
    assert list(engine.view.versions(b"", None, 0)) == live
    engine.close()


def newer_manifest(store: Path) -> Path:
    path = store / "MANIFEST"
    line = path.read_bytes().partition(b"\n")[0].replace(b'"format": 2', b'"format": 9') + b"\n"
    path.write_bytes(line + b"%08x\n" % crc32c(line))
    return path


def newer_segment(store: Path) -> Path:
    path = max(store.glob("*.seg"))
    data = bytearray(path.read_bytes())
    data[8] = 9
    data[56:60] = crc32c(bytes(data[:56])).to_bytes(4, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("newer", [newer_manifest, newer_segment])
def test_a_newer_store_is_refused_and_left_alone(newer: Any, tmp_path: Path) -> None:
    store, _expected = unpacked("runs2", tmp_path)
    path = newer(store)
    (store / "00000099-0.seg").write_bytes(b"a file of a kind that this build would take for an orphan")
    before = {entry.name: entry.read_bytes() for entry in store.iterdir()}
    for refused in (lambda: Engine.open(store), lambda: check(store)):
        with pytest.raises(StoreTooNew, match=f"{path.name}: format 9 .*is of a later build; this one reads format"):
            refused()
    if newer is newer_manifest:
        with pytest.raises(StoreTooNew):
            repair(str(store), tmp_path / "new")
        done = brainctl("store", "info", str(store))
        assert done.returncode == ExitCode.UNSUPPORTED
        assert "is of a later build" in done.stderr
    assert {entry.name: entry.read_bytes() for entry in store.iterdir() if entry.name != "LOCK"} == before


def test_newer_runs_are_made_anew(tmp_path: Path) -> None:
    """The log has all that is in them, so a build that does not know their format can do without."""
    store, expected = unpacked("runs2", tmp_path)
    for path in store.glob("*.run"):
        data = bytearray(path.read_bytes())
        data[8] = 9
        data[136:140] = crc32c(bytes(data[:136])).to_bytes(4, "little")
        path.write_bytes(data)
    engine = Engine.open(store, options=OPTIONS)
    holds(engine, expected)
    engine.close()
    listing = manifest.load(str(store), OsFileSystem())
    assert isinstance(listing, Listing)
    assert listing.runs == ()
