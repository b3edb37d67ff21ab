"""Ctrl-C ends a command at any moment, with 130 and without a traceback, and once is enough."""

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brainctl.errors import ExitCode
from tests.peers.servers import Etcd, brainctl_argv, clean_environment

AT_IMPORT = """
import os, sys
target = sys.argv[1]
class At:
    def find_spec(self, name, *rest):
        if name == target:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), 2)
sys.meta_path.insert(0, At())
from brainctl.cli.entry import main
sys.argv[:2] = ["brainctl"]
main()
"""
AT_READ = """
import os, signal, sys
pipe = os.pipe()
class Pipe:
    buffer = property(lambda self: self)
    isatty = lambda self: False
    fileno = lambda self: pipe[0]
    def read(self, size=-1):
        os.kill(os.getpid(), signal.SIGINT)
        return os.read(pipe[0], 1)
    readline = read
sys.stdin = Pipe()
from brainctl.cli.entry import main
sys.argv[0] = "brainctl"
main()
"""


def run(program: str, *argv: str) -> tuple[int, bytes, bytes]:
    command = [sys.executable, "-c", program, *argv]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60, env=clean_environment()
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "enum",
        "brainctl.errors",
        "brainctl.cli.interrupt",
        "brainctl.cli.main",
        "typer",
        "brainctl.commands.put",
        "asyncio",
        "brainctl.stores.etcd.store",
        "grpc.aio",
    ],
)
def test_while_modules_are_loaded(module: str, etcd: Etcd) -> None:
    found = run(AT_IMPORT, module, "--endpoints", etcd.endpoint, "put", "interrupted", "1")
    assert found == (ExitCode.SIGINT, b"", b"")


@pytest.mark.parametrize(
    "argv",
    [
        ["put", "k"],
        ["txn"],
        ["user", "add", "u", "--interactive=false"],
        ["user", "add", "u"],
        ["user", "passwd", "u", "--password-file", "-"],
    ],
)
def test_while_standard_input_is_awaited(argv: list[str]) -> None:
    code, _, err = run(AT_READ, "--endpoints", "127.0.0.1:1", *argv)
    assert (code, err) == (ExitCode.SIGINT, b"")


@contextmanager
def started(*argv: str, terminal: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    pipe = subprocess.PIPE
    stdin = pipe if terminal is None else terminal
    command = [*brainctl_argv(), *argv]
    with subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, env=clean_environment()) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupt(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize(
    "argv",
    [
        ["put", "k", "v"],
        ["watch", "k"],
        ["watch", "-i"],
        ["lease", "keep-alive", "1"],
        ["lock", "name"],
        ["elect", "name", "me"],
        ["endpoint", "health"],
        ["check", "perf"],
        ["make-mirror", "127.0.0.1:1"],
        ["snapshot", "save", "backup.db"],
    ],
)
def test_while_a_server_is_silent(argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        with started("--endpoints", endpoint, "--dial-timeout", "1h", *argv) as process:
            connection, _ = silent.accept()
            with connection:
                assert interrupt(process) == (ExitCode.SIGINT, b"")
    assert list(tmp_path.iterdir()) == []


def test_while_a_password_is_asked_for() -> None:
    """The terminal shows what is typed again afterwards."""
    import termios

    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    try:
        with started("--user", "root", "get", "k", terminal=slave) as process:
            assert process.stderr is not None
            shown = b""
            while b"Password: " not in shown:
                shown += os.read(process.stderr.fileno(), 1000)
            code, errors = interrupt(process)
        assert code == ExitCode.SIGINT
        assert b"Traceback" not in errors
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_a_command_that_does_not_end_is_ended() -> None:
    """Whatever it closes may hang."""
    program = """
import asyncio, os, signal, sys, time
from brainctl.cli import interrupt as interrupt
interrupt.CLOSING_SECONDS = 0.1
interrupt.at_once()
async def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
    finally:
        time.sleep(3600)
interrupt.run(work)
"""
    assert run(program) == (ExitCode.SIGINT, b"", b"")
