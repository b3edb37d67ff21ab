"""Where a command runs: streams that are closed, full or without a reader, and surroundings that lack something."""

import os
import subprocess
from pathlib import Path

import pytest

from brainctl.errors import ExitCode
from tests.peers.servers import Etcd, brainctl_argv, clean_environment, etcdctl

BROKEN_PIPE = 141
FULL = "Error: cannot write to standard output: no space left on device\n"


def shell(line: str, *argv: str, cwd: Path | None = None, **environment: str) -> tuple[int, str, str]:
    """Run `line`, in which "$@" is a command line of brainctl."""
    command = ["bash", "-c", line, "bash", *brainctl_argv(), *argv]
    env = clean_environment() | environment
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=env, cwd=cwd)
    return done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('"$@" >&-', (0, "", "warning: standard output is closed, and nothing is shown\n")),
        ('"$@" 2>&-', (0, "OK\n", "")),
        ('"$@" <&-', (0, "OK\n", "")),
        ('"$@" <&- >&- 2>&-', (0, "", "")),
        ('"$@" >/dev/full', (ExitCode.NO_SPACE, "", FULL)),
        ('"$@" >/dev/full 2>&1', (ExitCode.NO_SPACE, "", "")),
        ('"$@" 2>/dev/full', (0, "OK\n", "")),
        ('mkdir d; cd d; rmdir ../d; "$@"', (0, "OK\n", "")),
        ('ulimit -n 20; "$@"', (0, "OK\n", "")),
        ('env -i PYTHONPATH=$PYTHONPATH LC_ALL=POSIX PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 "$@"', (0, "OK\n", "")),
    ],
)
def test_a_put_that_happened_is_never_reported_as_refused(
    line: str, expected: tuple[int, str, str], etcd: Etcd, tmp_path: Path
) -> None:
    """Exit code 1 means that it has not."""
    assert shell(line, "--endpoints", etcd.endpoint, "put", line, "\u00e4", cwd=tmp_path) == expected
    assert etcdctl(etcd.endpoint, "get", line, "--print-value-only").stdout == "\u00e4\n"


@pytest.mark.parametrize(
    ("line", "argv", "expected"),
    [
        ('"$@" >/dev/full', ["--help"], (ExitCode.NO_SPACE, "", FULL)),
        ('"$@" >/dev/full', ["version"], (ExitCode.NO_SPACE, "", FULL)),
        ('"$@" 2>/dev/full', ["get"], (ExitCode.BAD_ARGS, "", "")),
        ('"$@" 2>&-', ["get", "--none"], (ExitCode.ERROR, "", "")),
        ('"$@" <&-', ["txn"], (ExitCode.INVALID_INPUT, "", "Error: EOF\n")),
        ('"$@" <&- >&-', ["put", "k"], (ExitCode.BAD_ARGS, "", "Error: put command needs 1 argument and input from")),
        ('ulimit -n 5; "$@"', ["put", "k", "v"], (ExitCode.IO, "", "Error: too many open files")),
        ('ulimit -n 8; "$@"', ["put", "k", "v"], (ExitCode.IO, "", "Error: too many open files: 8 are allowed")),
        ('ulimit -n 10; "$@"', ["put", "k", "v"], (ExitCode.IO, "", "Error: too many open files: 10 are allowed")),
        ('ulimit -n 12; "$@"', ["put", "k", "v"], (ExitCode.IO, "", "Error: too many open files: 12 are allowed")),
    ],
)
def test_other_commands_end_as_they_would(line: str, argv: list[str], expected: tuple[int, str, str]) -> None:
    code, out, err = shell(line, *argv)
    assert (code, out, err[: len(expected[2]) or None]) == expected
    assert "Traceback" not in err


def test_a_closed_stream_is_not_taken_by_a_file(tmp_path: Path) -> None:
    """The store would be written over by what is shown."""
    code = (
        "import os, sys; from brainctl.cli import streams as streams; streams.complete();"
        "print(*(os.readlink(f'/proc/self/fd/{fd}') for fd in range(3)), file=open(sys.argv[1], 'w'))"
    )
    out = tmp_path / "out"
    line = f'"{brainctl_argv()[0]}" -c "{code}" {out} <&- >&- 2>&-'
    assert shell(line)[0] == 0
    assert out.read_text() == "/dev/null /dev/null /dev/null\n"


@pytest.mark.parametrize("argv", [["put", "pipe", "1"], ["--help"]])
def test_a_pipe_without_a_reader_ends_a_command_as_sigpipe_does(argv: list[str], etcd: Etcd) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [*brainctl_argv(), "--endpoints", etcd.endpoint, *argv]
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False, env=clean_environment())
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, b"")


def test_streams_that_do_not_block_are_waited_for(etcd: Etcd) -> None:
    """As a parent that uses them with an event loop leaves them."""
    value = b"v" * 300_000  # a pipe holds 64 KiB
    command = [*brainctl_argv(), "--endpoints", etcd.endpoint]
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    put = subprocess.Popen([*command, "put", "blocks"], stdin=reader, stdout=subprocess.PIPE, env=clean_environment())
    os.close(reader)
    with os.fdopen(writer, "wb") as stdin:
        stdin.write(value)
    assert put.communicate(timeout=60)[0] == b"OK\n"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    get = subprocess.Popen([*command, "get", "blocks", "--print-value-only"], stdout=writer, env=clean_environment())
    os.close(writer)
    with os.fdopen(reader, "rb") as stdout:
        assert stdout.read() == value + b"\n"
    assert get.wait(60) == 0
