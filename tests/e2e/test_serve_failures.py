"""What `brainctl serve` says and does when it cannot go on: one sentence, an exit code of its own, and nothing lost."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from brainctl.errors import ExitCode, StoreFull
from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.process import Child
from tests.peers.servers import Brainctl, brainctl, brainctl_argv, clean_environment
from tests.support.rpc import Refused, Remote

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@contextmanager
def mounted(target: Path, *argv: str) -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    subprocess.run(["mount", *argv, str(target)], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)


def refused(directory: Path, *flags: str) -> tuple[int, str]:
    """Try to serve a directory; the exit code and the one line that was said."""
    result = brainctl("serve", "--data-dir", str(directory), "--listen", "127.0.0.1:0", *flags)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert result.stdout == ""
    assert lines[0].startswith("Error: ")
    return result.returncode, lines[0]


def put(server: Brainctl, key: str, value: str) -> subprocess.CompletedProcess[str]:
    return brainctl("put", key, "--endpoints", server.endpoint, stdin=value)


def fill(endpoint: str) -> list[str]:
    """Put large values until one is refused; the keys that were acknowledged."""
    acknowledged: list[str] = []
    with closing(Remote(endpoint)) as api, suppress(Refused):
        for number in range(100):
            api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"k%03d" % number, value=b"x" * 1_400_000))
            acknowledged.append(f"k{number:03}")
    return acknowledged


def keys(directory: Path) -> list[str]:
    found = brainctl("get", "", "--prefix", "--keys-only", "--store", f"file://{directory}").stdout
    return [line for line in found.splitlines() if line]


def test_a_second_server_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with Brainctl(tmp_path) as server:
        code, line = refused(tmp_path / "data")
        assert code == ExitCode.IN_USE
        assert str(server.pid) in line
        assert put(server, "k", "v").returncode == 0


@root_only
def test_a_read_only_directory_is_refused(tmp_path: Path) -> None:
    with Brainctl(tmp_path) as server:
        assert put(server, "k", "v").returncode == 0
    with mounted(tmp_path / "read-only", "--bind", "-o", "ro", str(tmp_path / "data")) as directory:
        code, line = refused(directory)
    assert code == ExitCode.IO
    assert "read-only" in line.lower()
    assert keys(tmp_path / "data") == ["k"]


@root_only
def test_a_full_disk_stops_the_server_and_loses_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=70m", "tmpfs") as disk:
        with Brainctl(tmp_path, store=f"file://{disk / 'data'}") as server:
            acknowledged = fill(server.endpoint)
            assert server.child is not None
            assert server.child.process.wait(120) == ExitCode.NO_SPACE
            assert "no space" in server.child.output().lower()
            assert StoreFull.advice in server.child.output()
        assert 30 < len(acknowledged) < 60
        shutil.copytree(disk / "data", tmp_path / "larger")
    found = keys(tmp_path / "larger")
    assert found[: len(acknowledged)] == acknowledged
    assert len(found) <= len(acknowledged) + 1


def test_sigterm_finishes_and_stops(tmp_path: Path) -> None:
    with Brainctl(tmp_path) as server:
        assert put(server, "k", "v").returncode == 0
        assert server.child is not None
        os.kill(server.pid, signal.SIGTERM)
        assert server.child.process.wait(120) == 0
    assert keys(tmp_path / "data") == ["k"]


def test_nothing_to_serve_is_a_usage_error() -> None:
    result = brainctl("serve")
    assert result.returncode == ExitCode.BAD_ARGS
    assert "--data-dir" in result.stderr


def test_the_directory_is_private_whatever_the_umask(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    argv = ["sh", "-c", 'umask 000; exec "$@"', "sh", *brainctl_argv(), "serve", "--data-dir", str(directory)]
    child = Child([*argv, "--listen", "127.0.0.1:0"], tmp_path / "log", clean_environment())
    child.wait_until(lambda: "ready" in child.output())
    assert child.stop() == 0
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
