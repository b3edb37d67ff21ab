"""Clients in Go, Node and Python, each with its own HTTP/2 stack, find in brainctl what they find in etcd."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers import ROOT, require
from tests.peers.servers import Brainctl, Etcd, Server

HERE = Path(__file__).resolve().parent
CLIENTS: dict[str, Callable[[], list[str]]] = {
    "go": lambda: [str(require("go-client"))],
    "node": lambda: [str(require("node")), str(require("node-client") / "client.mjs")],
    "python": lambda: [sys.executable, str(HERE / "python" / "client.py")],
    "python-etcd3": lambda: [str(require("python-etcd3") / "bin/python"), str(HERE / "python-etcd3" / "client.py")],
}


@pytest.fixture(scope="module", params=[Etcd, Brainctl])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for clients that compact it; with etcd the expectations of the clients are proved."""
    with request.param(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.parametrize("client", CLIENTS)
def test_client_finds_what_it_expects(client: str, server: Server) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if client == "python-etcd3":
        environment["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
    done = subprocess.run(
        [*CLIENTS[client](), server.endpoint, f"clients/{client}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
