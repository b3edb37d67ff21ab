"""The process tree of a test run: default signals for it, and a description of it for a test that fails."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

LINES = 20
"""Lines of output shown of each child: the last ones."""


def take_default_signals() -> None:
    """Give this process, and so every child that it starts, the signal handling of a program started in a terminal.

    A shell without job control starts background commands with SIGINT and SIGQUIT ignored, and children inherit an
    ignored signal: a test that sends SIGINT to its child would wait for ever.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP})


def describe(pid: int | None = None) -> str:
    """Return one paragraph for each process below `pid` (this process by default): pid, state, command line, output.

    The output is the end of the regular file behind the child's standard error; a pipe is named, but not read.
    """
    return "\n".join(_paragraph(child) for child in descendants(pid or os.getpid()))


def descendants(pid: int) -> Iterator[int]:
    """Yield the pids of the processes below `pid`, parents first."""
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in tasks.read_text().split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from descendants(child)


def _paragraph(pid: int) -> str:
    place = Path(f"/proc/{pid}")
    try:
        command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        waits = (place / "wchan").read_text()
        output = (place / "fd" / "2").resolve()
    except OSError as error:
        return f"{pid}: ended meanwhile ({error.strerror})"
    lines = _last_lines(output)
    return "\n".join([f"{pid} {state} {waits} {command}", *(f"    {line}" for line in lines)])


def _last_lines(output: Path) -> list[str]:
    if not output.is_file():
        return [f"(standard error is {output})"]
    return output.read_text(errors="replace").splitlines()[-LINES:]
