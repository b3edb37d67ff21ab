"""A deadline is exit code 124 of every command: --dial-timeout, and --command-timeout where no outcome is unknown."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from brainctl.errors import ExitCode
from brainctl.stores.etcd import discovery
from brainctl.tikv.client import limits
from tests.cli.running import Runner
from tests.peers.ports import free_port

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""The first frame of a server of HTTP/2: settings, without any."""
READS = (
    ("get", "k"),
    ("lease", "list"),
    ("lease", "timetolive", "7b"),
    ("lease", "keep-alive", "--once", "7b"),
    ("defrag",),
    ("endpoint", "health"),
    ("endpoint", "status"),
    ("endpoint", "hashkv"),
    ("endpoint", "--cluster", "status"),
    ("member", "list"),
    ("alarm", "list"),
    ("user", "list"),
    ("snapshot", "save", "{file}"),
    ("store", "info", "etcd://{endpoint}"),
    ("migrate", "--from", "etcd://{endpoint}", "--to", "file://{file}", "--retry-for", "0s"),
    ("verify", "--from", "etcd://{endpoint}", "--to", "etcd://{endpoint}"),
)
WRITES = (
    ("put", "k", "v"),
    ("del", "k"),
    ("lease", "grant", "10"),
    ("lock", "n", "true"),
    ("watch", "k"),
    ("make-mirror", "{endpoint}"),
    ("check", "perf"),
)
"""Commands that are not over, or whose outcome is unknown, once something was sent."""


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[bytes, int]]:
    """Servers that take connections and say nothing, or nothing after their settings."""
    with ExitStack() as stack:
        yield {first: serve(stack, first) for first in (b"", SETTINGS)}


def serve(stack: ExitStack, first: bytes) -> int:
    """Start a server that says `first` to everybody, and return its port."""
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    taken: list[socket.socket] = []

    def accept() -> None:
        try:
            while True:
                taken.append(listening.accept()[0])
                taken[-1].sendall(first)
        except OSError:
            return

    thread = Thread(target=accept)

    def stop() -> None:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for sock in taken:
            sock.close()

    stack.callback(stop)
    thread.start()
    return int(listening.getsockname()[1])


def on(endpoint: str, argv: tuple[str, ...], directory: Path) -> tuple[str, ...]:
    words = (word.format(endpoint=endpoint, file=directory / "file") for word in argv)
    return ("--endpoints", endpoint, *words)


@pytest.mark.parametrize("argv", [*READS, *WRITES], ids=" ".join)
def test_of_connecting(argv: tuple[str, ...], ports: dict[bytes, int], run: Runner, tmp_path: Path) -> None:
    ran = run(*on(f"127.0.0.1:{ports[b'']}", argv, tmp_path), "--dial-timeout", "0.1s")
    assert ran.code == ExitCode.TIMEOUT, ran
    assert "no answer within 0.1 s" in ran.err


@pytest.mark.parametrize("argv", READS, ids=" ".join)
def test_of_an_answer(argv: tuple[str, ...], ports: dict[bytes, int], run: Runner, tmp_path: Path) -> None:
    endpoint = f"127.0.0.1:{ports[SETTINGS]}"
    ran = run(*on(endpoint, argv, tmp_path), "--dial-timeout", "60s", "--command-timeout", "0.1s")
    assert ran.code == ExitCode.TIMEOUT, ran
    assert "no answer within 0.1 s" in ran.err or "longer than 0.1 s" in ran.err


def test_one_silent_endpoint_of_several_is_a_deadline(ports: dict[bytes, int], run: Runner) -> None:
    endpoints = f"127.0.0.1:{free_port()},127.0.0.1:{ports[b'']}"
    assert run("get", "k", "--endpoints", endpoints, "--dial-timeout", "0.1s").code == ExitCode.TIMEOUT
    both = run("endpoint", "health", "--endpoints", endpoints, "--dial-timeout", "0.1s")
    assert both.code == ExitCode.ERROR, "one of them refuses"


def test_a_silent_placement_driver_is_a_deadline(
    ports: dict[bytes, int], run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.1)
    monkeypatch.setattr(limits, "LEAST_SECONDS", 0.1)
    for first in (b"", SETTINGS):
        ran = run("get", "k", "--store", f"tikv://127.0.0.1:{ports[first]}/p")
        assert ran.code == ExitCode.TIMEOUT, ran
        assert "its Placement Driver does not answer" in ran.err


def test_control_nobody_there_is_none(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr(limits, "PATIENCE", 0.1)
    assert run("get", "k", "--store", f"tikv://{endpoint}/p").code == ExitCode.CONNECTION
    assert run("get", "k", "--endpoints", endpoint).code == ExitCode.CONNECTION
    assert run("endpoint", "health", "--endpoints", endpoint).code == ExitCode.ERROR


def test_of_the_name_server(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolvers = tmp_path / "resolv.conf"
        resolvers.write_text("nameserver 127.0.0.1\n")
        monkeypatch.setattr(discovery, "RESOLVERS", resolvers)
        monkeypatch.setattr(discovery, "PORT", silent.getsockname()[1])
        monkeypatch.setattr(discovery, "SECONDS", 0.1)
        ran = run("get", "k", "--discovery-srv", "example")
    assert ran.code == ExitCode.TIMEOUT, ran
