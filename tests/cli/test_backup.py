"""snapshot save --link, status and restore of a backup, beside a server and without one; restore to a revision."""

import json
from pathlib import Path

import pytest

from brainctl.engine.engine import Engine
from brainctl.errors import ExitCode
from tests.peers.servers import Brainctl, brainctl, etcdctl


def value(directory: Path, key: bytes) -> bytes:
    engine = Engine.open(directory)
    try:
        found = engine.view.get(key)
        return found.kv if found is not None else b""
    finally:
        engine.close()


def test_beside_a_server_and_back_to_a_revision(tmp_path: Path) -> None:
    backups = [str(tmp_path / "full"), str(tmp_path / "more")]
    with Brainctl(tmp_path) as server:
        store = f"file://{tmp_path / 'data'}"
        for text in ("one", "two"):
            assert etcdctl(server.endpoint, "put", "key", text).returncode == 0
        done = brainctl("snapshot", "save", "--link", backups[0], "--store", store)
        assert done.stdout.startswith("Backup of revision 3 saved"), done.stderr
        etcdctl(server.endpoint, "put", "key", "three")
        done = brainctl("snapshot", "save", "--link", backups[1], "--base", backups[0], "--store", store)
        assert "revision 4" in done.stdout, done.stderr
        snapshot = tmp_path / "snapshot.db"
        assert etcdctl(server.endpoint, "snapshot", "save", str(snapshot)).returncode == 0
    status = json.loads(brainctl("snapshot", "status", backups[1], "-w", "json").stdout)
    assert (status["revision"], status["based_on"]) == ("4", backups[0])
    for source in (backups[1], str(snapshot)):
        for revision, text in ((0, b"three"), (2, b"one")):
            target = tmp_path / f"{Path(source).name}-{revision}"
            argv = ("snapshot", "restore", source, "--data-dir", str(target))
            done = brainctl(*argv, *(("--revision", str(revision)) if revision else ()))
            assert done.returncode == 0, done.stderr
            assert f"restored revision {revision or 4} with 1 keys" in done.stderr
            assert value(target, b"key").endswith(text)
    compacted = brainctl("store", "compact", str(tmp_path / "data"), "3")
    assert compacted.returncode == 0
    again = str(tmp_path / "again")
    assert brainctl("snapshot", "save", "--link", again, "--store", store).returncode == 0
    gone = brainctl("snapshot", "restore", again, "--data-dir", str(tmp_path / "none"), "--revision", "2")
    assert gone.returncode == ExitCode.COMPACTED
    assert "revision 2 was compacted: what can be restored begins at 3" in gone.stderr
    future = brainctl("snapshot", "restore", again, "--data-dir", str(tmp_path / "none"), "--revision", "9")
    assert future.returncode == ExitCode.INVALID_INPUT
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("save", "to", "--base", "x"), ExitCode.BAD_ARGS),
        (("save", "to", "--link"), ExitCode.BAD_ARGS),
        (("save", "to", "--link", "--store", "file://nowhere"), ExitCode.INVALID_INPUT),
        (("status", "."), ExitCode.INVALID_INPUT),
        (("restore", ".", "--data-dir", "x"), ExitCode.INVALID_INPUT),
        (("restore", ".", "--revision", "-1"), ExitCode.BAD_ARGS),
    ],
)
def test_mistakes(argv: tuple[str, ...], code: int) -> None:
    assert brainctl("snapshot", *argv).returncode == code
