"""A server that runs out of something: it says so or it dies, and what it acknowledged is there afterwards."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from brainctl.errors import ExitCode
from tests.faults.power.errors import Load
from tests.peers.process import Child
from tests.peers.servers import Brainctl, brainctl, brainctl_argv, clean_environment

MEMORY = Path("/sys/fs/cgroup/memory")
no_cgroup = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access(MEMORY / "cgroup.procs", os.W_OK), reason="a memory cgroup needs root"
)


class Limited(Brainctl):
    """A server started by a shell that sets limits first."""

    def __init__(self, directory: Path, limits: str, *flags: str) -> None:
        super().__init__(directory, *flags)
        self.limits = limits

    def argv(self) -> list[str]:
        return ["sh", "-c", f'{self.limits}; exec "$@"', "sh", *super().argv()]


def wait_for(load: Load, server: Brainctl, count: int) -> None:
    """Until so many puts are acknowledged, or the server has ended."""
    child = server.child
    assert child is not None
    child.wait_until(lambda: len(load.acknowledged) >= count or child.process.poll() is not None)


def missing(directory: Path, load: Load) -> set[str]:
    """Acknowledged keys that a server without limits does not have."""
    found = brainctl("get", "", "--prefix", "--keys-only", "--store", f"file://{directory / 'data'}")
    assert found.returncode == 0, found.stderr
    return set(load.acknowledged) - set(found.stdout.split())


def test_a_server_without_descriptors_serves_those_it_knows(tmp_path: Path) -> None:
    with Limited(tmp_path, "ulimit -n 40") as server, ExitStack() as idle:
        load = Load(server.endpoint, 200)
        wait_for(load, server, 50)
        for _ in range(60):
            idle.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=120))
        before = len(load.acknowledged)
        wait_for(load, server, before + 50)
        idle.close()
        assert brainctl("put", "late", "v", "--endpoints", server.endpoint).returncode == 0
        load.stop()
        server.kill()
    assert len(load.acknowledged) >= 100
    assert not missing(tmp_path, load)


def test_a_limit_of_file_sizes_is_named(tmp_path: Path) -> None:
    argv = ["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh", *brainctl_argv()]
    argv += ["serve", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
    child = Child(argv, tmp_path / "log", clean_environment())
    assert child.process.wait(120) == ExitCode.IO
    assert "file too large" in child.output().lower()


def test_a_server_without_address_space_loses_nothing(tmp_path: Path) -> None:
    with Limited(tmp_path, "ulimit -v 700000") as server:
        load = Load(server.endpoint, 400_000)
        wait_for(load, server, 150)
        load.stop()
        server.kill()
    assert load.acknowledged
    assert not missing(tmp_path, load)


@no_cgroup
def test_a_server_in_little_memory_loses_nothing(tmp_path: Path) -> None:
    group = MEMORY / f"brainctl-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(96 << 20))
        with Limited(tmp_path, f"echo $$ > {group}/cgroup.procs") as server:
            load = Load(server.endpoint, 100_000)
            wait_for(load, server, 400)
            load.stop()
            server.kill()
        assert load.acknowledged
        assert not missing(tmp_path, load)
    finally:
        group.rmdir()
