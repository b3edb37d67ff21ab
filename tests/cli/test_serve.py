"""brainctl serve as a process: how it starts, stops and refuses."""

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import NewBrainctl
from tests.peers.servers import Brainctl, brainctl, brainctl_argv, clean_environment, etcdctl


@contextmanager
def start(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """A server that does not outlive the block, whatever happens in it."""
    command = [*brainctl_argv(), "serve", *argv]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment()) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_says_when_it_is_ready_and_stops_in_order(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    argv = ["--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--ready-file", str(ready)]
    with start(*argv) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        address = line.split()[-1]
        assert line == f"ready: serving file://{tmp_path}/data at {address}\n"
        assert ready.read_text() == f"{address}\n"
        assert etcdctl(address, "put", "served", "1").stdout == "OK\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(120) == 0
        assert server.stderr.read() == ""
    assert brainctl("--store", f"file://{tmp_path}/data", "get", "served").stdout == "served\n1\n"


def test_etcds_name_of_the_flag_is_understood(tmp_path: Path) -> None:
    with start("--data-dir", str(tmp_path / "data"), "--listen-client-urls", "http://127.0.0.1:0") as server:
        assert server.stderr is not None
        assert " at 127.0.0.1:" in server.stderr.readline()
        server.terminate()


def test_a_directory_has_one_server(new_brainctl: NewBrainctl) -> None:
    server = new_brainctl()
    data = server.directory / "data"
    second = brainctl("serve", "--data-dir", str(data), "--listen", "127.0.0.1:0")
    step = f"ask it with --endpoints={server.endpoint}, or stop it first"
    assert (second.returncode, second.stderr) == (11, f"Error: {data} is in use by process {server.pid}; {step}\n")
    assert etcdctl(server.endpoint, "put", "still", "there").returncode == 0


def test_a_directory_that_is_served_is_reached_through_its_server(new_brainctl: NewBrainctl) -> None:
    server = new_brainctl()
    store = f"file://{server.directory}/data"
    assert brainctl("--store", store, "put", "through", "1").stdout == "OK\n"
    assert etcdctl(server.endpoint, "get", "through").stdout == "through\n1\n"
    server.stop()
    assert brainctl("--store", store, "get", "through").stdout == "through\n1\n"


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = brainctl("serve", "--data-dir", str(tmp_path / "data"), "--listen", address)
    assert done.returncode == 16
    assert done.stderr.startswith(f"Error: cannot listen at {address}: ")
    assert done.stderr.count("\n") == 1


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    # Root may write everywhere, unless it has given up its capabilities.
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] if os.geteuid() == 0 else []
    argv = [*powerless, *brainctl_argv(), "serve", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    tmp_path.chmod(stat.S_IRWXU)
    assert done.returncode == 6
    assert "permission denied" in done.stderr.lower()


def test_a_damaged_store_is_refused_with_the_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert brainctl("store", "create", str(data)).returncode == 0
    for value in ("1", "2", "3"):
        assert brainctl("--store", f"file://{data}", "put", "k", value).returncode == 0
    assert brainctl("store", "check", str(data)).returncode == 0
    segment = next(data.glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[content.index(b"k")] ^= 1
    segment.write_bytes(content)
    for argv in (["serve", "--data-dir", str(data), "--listen", "127.0.0.1:0"], ["store", "check", str(data)]):
        done = brainctl(*argv)
        assert done.returncode == 12
        assert str(segment) in done.stderr
        assert "offset" in done.stderr
    assert segment.read_bytes() == content, "nothing was written"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        ([], 128),
        (["--data-dir", "a", "--store", "tikv://b/c"], 128),
        (["--data-dir", "a", "--cert-file", "b"], 128),
        (["--data-dir", "a", "--trusted-ca-file", "b"], 128),
        (["--store", "etcd://127.0.0.1:1"], 3),
        (["--data-dir", "a", "--cert-file", "missing", "--key-file", "missing"], 128),
        (["--data-dir", "a", "extra"], 1),
    ],
)
def test_mistakes(argv: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = brainctl("serve", *argv)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("Error: ")
    assert not list(tmp_path.iterdir())


def test_a_snapshot_is_private_and_whole(brainctl_server: Brainctl, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.db"
    done = brainctl("--endpoints", brainctl_server.endpoint, "snapshot", "save", str(path))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"Snapshot saved at {path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
