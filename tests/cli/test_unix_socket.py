"""`brainctl serve` at a Unix socket, and its clients."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NewBrainctl
from tests.peers.servers import Brainctl, brainctl, etcdctl


@pytest.fixture
def path() -> Iterator[Path]:
    """Of the few characters that a socket's name may have."""
    with tempfile.TemporaryDirectory(prefix="b") as directory:
        yield Path(directory) / "socket"


def serving(new_brainctl: NewBrainctl, path: Path, *flags: str) -> Brainctl:
    """At a port too, which is listened at last, so that the server is known to be ready."""
    server = new_brainctl(*flags)
    server.stop()
    server.flags = [*flags, "--listen", f"unix://{path},{server.endpoint}"]
    return server.start()


def test_clients_come_through_it(new_brainctl: NewBrainctl, path: Path) -> None:
    server = serving(new_brainctl, path)
    url = f"unix://{path}"
    assert etcdctl(url, "put", "a", "b").stdout == "OK\n"
    assert brainctl("--endpoints", url, "get", "a").stdout == "a\nb\n"
    assert brainctl("--endpoints", server.endpoint, "get", "a").stdout == "a\nb\n"
    assert url in brainctl("--endpoints", url, "member", "list").stdout
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(path))
        raw.sendall(b"GET /debug/stages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 404 " in raw.recv(1000), "the page is shown, and knows nothing of that revision"


def test_it_is_gone_with_its_server_and_replaced_after_a_crash(new_brainctl: NewBrainctl, path: Path) -> None:
    server = serving(new_brainctl, path)
    assert path.is_socket()
    server.kill()
    assert path.is_socket()
    server.start()
    assert brainctl("--endpoints", f"unix://{path}", "put", "a", "b").returncode == 0
    assert server.stop() == 0
    assert not path.exists()


def test_what_is_in_use_or_no_socket_is_left_alone(new_brainctl: NewBrainctl, path: Path, tmp_path: Path) -> None:
    server = serving(new_brainctl, path)
    argv = ["serve", "--data-dir", str(tmp_path / "other"), "--listen", f"unix://{path}"]
    refused = brainctl(*argv)
    step = "`ss -lnp` shows who listens there: stop that, or choose another address"
    assert refused.returncode == 16
    assert refused.stderr == f"Error: cannot listen at unix://{path}: address already in use; {step}\n"
    assert brainctl("--endpoints", f"unix://{path}", "put", "a", "b").returncode == 0
    server.stop()
    path.write_text("precious")
    assert brainctl(*argv).returncode == 16
    assert path.read_text() == "precious"
