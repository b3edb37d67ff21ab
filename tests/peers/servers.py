"""The servers of the tests: a real etcd, a TiKV cluster, and brainctl itself, each on free loopback ports."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.peers import ROOT, require
from tests.peers.certificates import Authority
from tests.peers.ports import free_port
from tests.peers.process import Child, accepts


def clean_environment() -> dict[str, str]:
    """The environment without variables that would configure etcd, etcdctl, gRPC or brainctl, this one in it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD_", "ETCDCTL_", "BRAINCTL_", "GRPC_"))}
    return kept | {"PYTHONPATH": str(ROOT)}


class Server:
    """A server process under a directory of its own; a context manager that stops it."""

    name: str

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.child: Child | None = None

    def argv(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        return accepts(self.port)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def start(self) -> Self:
        """Start on the same directory and port as before; returns when it answers."""
        self.child = Child(self.argv(), self.directory / f"{self.name}.log", clean_environment())
        self.child.wait_until(self.ready)
        return self

    def stop(self) -> int:
        """Stop in order; returns the exit code."""
        assert self.child is not None
        return self.child.stop()

    def kill(self) -> None:
        """kill -9."""
        assert self.child is not None
        self.child.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.child is not None:
            self.child.stop()


class Etcd(Server):
    """A real single-member etcd. It does not fsync unless asked: the tests are not about its durability."""

    name = "etcd"

    def __init__(
        self,
        directory: Path,
        *flags: str,
        fsync: bool = False,
        data_dir: Path | None = None,
        authority: Authority | None = None,
    ) -> None:
        super().__init__(directory)
        self.peer_port = free_port()
        self.authority = authority
        self.flags = flags if fsync else ("--unsafe-no-fsync", *flags)
        self.data_dir = data_dir or directory / "etcd"

    def argv(self) -> list[str]:
        scheme, tls = ("https", tls_flags(self.authority, self.name)) if self.authority else ("http", [])
        client, peer = f"{scheme}://{self.endpoint}", f"http://127.0.0.1:{self.peer_port}"
        return [
            *(str(require("etcd")), "--data-dir", str(self.data_dir), "--log-level", "error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}", *tls, *self.flags),
        ]

    def ready(self) -> bool:
        flags = ["--cacert", str(self.authority.file)] if self.authority else []
        return super().ready() and etcdctl(self.endpoint, *flags, "get", "-").returncode == 0


class Playground(Server):
    """A TiKV cluster: the real Placement Driver and unistore (tests/peers/tikv-playground)."""

    name = "tikv-playground"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.peer_port = free_port()
        self.store_port = free_port()

    def argv(self) -> list[str]:
        return [
            *(str(require(self.name)), "--data-dir", str(self.directory / "data")),
            *("--pd-port", str(self.port), "--pd-peer-port", str(self.peer_port), "--port", str(self.store_port)),
        ]

    def ready(self) -> bool:
        assert self.child is not None
        return "ready pd=" in self.child.output()

    def url(self, prefix: str) -> str:
        """The store URL of a key prefix on this cluster."""
        return f"tikv://{self.endpoint}/{prefix}"


class Brainctl(Server):
    """`brainctl serve`, on a directory or on any store URL."""

    name = "brainctl"

    def __init__(
        self, directory: Path, *flags: str, store: str | None = None, authority: Authority | None = None
    ) -> None:
        super().__init__(directory)
        self.flags = [*flags, *(tls_flags(authority, self.name) if authority else ())]
        self.store = ("--store", store) if store else ("--data-dir", str(directory / "data"))

    def argv(self) -> list[str]:
        return [*brainctl_argv(), "serve", *self.store, "--listen", self.endpoint, *self.flags]


def tls_flags(authority: Authority, name: str) -> list[str]:
    """Flags of both servers: serve TLS with a certificate that the authority issues to `name`."""
    certificate, key = authority.issue(name)
    return ["--cert-file", str(certificate), "--key-file", str(key)]


def brainctl_argv() -> list[str]:
    """How to run the command line under test in a process of its own."""
    return [sys.executable, "-m", "brainctl"]


def brainctl(
    *args: str, stdin: str | None = None, seconds: float = 120, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line under test to its end. Connecting may take longer than two seconds on a loaded machine."""
    return _run([*brainctl_argv(), *args], stdin, seconds, cwd, BRAINCTL_DIAL_TIMEOUT="60s")


def etcdctl(endpoint: str, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the reference etcdctl against an endpoint to its end."""
    return _run([str(require("etcdctl")), "--endpoints", endpoint, *args], stdin, 120)


def _run(
    argv: Sequence[str], stdin: str | None, seconds: float, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = clean_environment() | {"ETCDCTL_API": "3"} | variables
    return subprocess.run(
        argv, input=stdin or "", capture_output=True, text=True, timeout=seconds, env=environment, check=False, cwd=cwd
    )
