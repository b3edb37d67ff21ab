"""How a brainctl process begins and ends."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from tests.peers.servers import Etcd, brainctl, brainctl_argv, clean_environment

HEAVY = {"grpc", "rich", "pydantic", "uvloop", "tikv_client", "orjson"}


def loaded(*argv: str) -> set[str]:
    """The packages that a process has loaded by its end."""
    program = (
        "import sys; from brainctl.cli import main as cli; cli.run(sys.argv[1:]);"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment())
    return set(done.stderr.split())


@pytest.mark.parametrize("argv", [["--help"], ["get", "--help"], ["lease", "--help"], ["version"]])
def test_help_loads_nothing_heavy(argv: list[str]) -> None:
    assert not loaded(*argv) & HEAVY


def test_help_loads_no_messages() -> None:
    assert "google" not in loaded("--help")


def test_a_get_loads_what_it_needs(etcd: Etcd) -> None:
    found = loaded("--endpoints", etcd.endpoint, "get", "startup")
    assert found & HEAVY == {"grpc"}


def test_optimised_python_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-m", "brainctl", "version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "python -O" in done.stderr
    assert done.stdout == ""


def test_a_closed_pipe_is_no_error(etcd: Etcd) -> None:
    assert brainctl("--endpoints", etcd.endpoint, "put", "pipe", "x" * 100_000).returncode == 0
    reader, writer = os.pipe()
    os.close(reader)
    command = [*brainctl_argv(), "--endpoints", etcd.endpoint, "get", "pipe"]
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_ends_a_watch_quietly(etcd: Etcd) -> None:
    assert brainctl("--endpoints", etcd.endpoint, "put", "ctrl-c", "1").returncode == 0
    revision = brainctl("--endpoints", etcd.endpoint, "get", "ctrl-c", "-w", "fields").stdout.split('"Revision" : ')[1]
    command = [*brainctl_argv(), "--endpoints", etcd.endpoint, "watch", "ctrl-c", "--rev", revision.split()[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"PUT\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert process.stderr.read() == b""


def test_a_terminal_sees_what_a_pipe_sees() -> None:
    """No colours, so NO_COLOR has nothing to do."""
    master, slave = pty.openpty()
    environment = {**clean_environment(), "TERM": "xterm-256color", "COLUMNS": "80"}
    command = [*brainctl_argv(), "version"]
    with os.fdopen(master, "rb") as terminal:
        subprocess.run(command, stdout=slave, stderr=slave, check=True, env=environment)
        os.close(slave)
        shown = terminal.read1()
    piped = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    assert shown.replace(b"\r\n", b"\n") == piped
    assert b"\x1b" not in shown


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["--endpoints", "127.0.0.1:1", "get", "x"], 2, "Error: cannot connect to 127.0.0.1:1: "),
        (["--endpoints", "ftp://127.0.0.1", "get", "x"], 128, "Error: endpoint 'ftp://127.0.0.1' has the unknown"),
        (["--store", "nowhere", "get", "x"], 3, "Error: 'nowhere' is no store"),
        (["--cacert", "", "get", "x"], 128, "Error: empty string is passed to --cacert option"),
        (
            ["--cacert", "missing.pem", "--endpoints", "https://127.0.0.1:1", "get", "x"],
            128,
            "Error: cannot read missing",
        ),
        (["--context", "none", "get", "x"], 3, "Error: there is no context 'none'"),
        (["store", "check", "missing"], 3, "Error: there is no store in missing"),
    ],
)
def test_each_failure_has_a_sentence_and_a_code(argv: list[str], code: int, text: str) -> None:
    done = brainctl(*argv)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1
