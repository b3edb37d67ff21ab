"""Clients in Go, Java, Node and Python, each with its own HTTP/2 stack, find in brainctl what they find in etcd."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers import ROOT, require
from tests.peers.certificates import Authority
from tests.peers.servers import Brainctl, Etcd, Server

HERE = Path(__file__).resolve().parent
CLIENTS: dict[str, Callable[[], list[str]]] = {
    "go": lambda: [str(require("go-client"))],
    "java": lambda: [str(require("java")), "-cp", java_classes(), "Client"],
    "node": lambda: [str(require("node")), str(require("node-client") / "client.mjs")],
    "python": lambda: [sys.executable, str(HERE / "python" / "client.py")],
    "python-etcd3": lambda: [str(require("python-etcd3") / "bin/python"), str(HERE / "python-etcd3" / "client.py")],
}


def java_classes() -> str:
    place = require("java-client")
    return f"{place / 'classes'}:{place / 'jars' / '*'}"


@pytest.fixture(scope="module", params=[Etcd, Brainctl])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for clients that compact it; with etcd the expectations of the clients are proved."""
    with request.param(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A brainctl with a certificate for 127.0.0.1, and the file of the authority to trust."""
    directory = tmp_path_factory.mktemp("secure")
    authority = Authority(directory, "authority")
    certificate, key = authority.issue("server")
    files = ("--cert-file", str(certificate), "--key-file", str(key))
    with Brainctl(directory / "server", *files) as server:
        yield server, authority.file


def run(client: str, *arguments: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if client == "python-etcd3":
        environment["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
    done = subprocess.run(
        [*CLIENTS[client](), *arguments], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    assert done.stdout.endswith("ok\n")


@pytest.mark.parametrize("client", CLIENTS)
def test_client_finds_what_it_expects(client: str, server: Server) -> None:
    run(client, server.endpoint, f"clients/{client}")


@pytest.mark.parametrize("client", ["go", "java", "node"])
def test_client_finds_it_over_tls_too(client: str, secure: tuple[Server, Path]) -> None:
    server, authority = secure
    run(client, server.endpoint, f"clients/{client}", str(authority))
