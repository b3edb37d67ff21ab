"""How a password gets to the server without being an argument."""

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.servers import Etcd, brainctl, brainctl_argv, clean_environment, etcdctl


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Etcd]:
    """An etcd with the user root, before authentication is turned on."""
    with Etcd(tmp_path / "etcd") as server:
        assert etcdctl(server.endpoint, "user", "add", "root:secret").returncode == 0
        yield server


def assert_logs_in(server: Etcd, user: str) -> None:
    assert brainctl("--endpoints", server.endpoint, "auth", "enable").returncode == 0
    asked = etcdctl(server.endpoint, "--user", user, "role", "list")
    assert "permission denied" in asked.stderr, "whoever is known is refused for want of a right"
    unknown = etcdctl(server.endpoint, "--user", f"{user}x", "role", "list")
    assert "authentication failed" in unknown.stderr


def test_from_a_file(server: Etcd, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("two words\n")
    done = brainctl("--endpoints", server.endpoint, "user", "add", "anna", "--password-file", str(file))
    assert (done.returncode, done.stdout) == (0, "User anna created\n")
    assert_logs_in(server, "anna:two words")


def test_from_standard_input(server: Etcd) -> None:
    at = ("--endpoints", server.endpoint)
    assert brainctl(*at, "user", "add", "anna", "--password-file", "-", stdin="first\n").returncode == 0
    changed = brainctl(*at, "user", "passwd", "anna", "--interactive=false", stdin="second\n")
    assert changed.stdout == "Password updated\n"
    assert_logs_in(server, "anna:second")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    done = brainctl("user", "add", "anna", "--password-file", str(tmp_path / "missing"))
    assert done.returncode == 6
    assert "missing" in done.stderr


def test_on_a_terminal(server: Etcd) -> None:
    """It is asked for twice, and not shown."""
    program = [*brainctl_argv(), "--endpoints", server.endpoint, "user", "add", "anna"]
    child, terminal = pty.fork()
    if child == 0:
        os.execve(program[0], program, clean_environment())
    with os.fdopen(terminal, "r+b", buffering=0) as screen:
        shown = b""
        for question in (b"Password of anna: ", b"Type password of anna again for confirmation: "):
            while not shown.endswith(question):
                shown += screen.read(1)
            screen.write(b"typed\n")
        while b"created" not in shown:
            shown += screen.read(1)
        assert os.waitpid(child, 0)[1] == 0
    assert b"typed" not in shown
    assert_logs_in(server, "anna:typed")
