"""Standard input, output and error as they may be: closed, full, without a reader, or set to not block by another."""

import os
import select
import sys
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from typing import BinaryIO

from brainctl.errors import BrainctlError, ExitCode

_lost: list[str] = []
"""Warnings to show once something is written to a standard output that was closed."""


class OutputFailed(BrainctlError):
    """Standard output takes nothing any more. What was asked of the store has been done."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to standard output: {reason(error)}")
        self.exit_code = io_code(error)


def io_code(error: OSError) -> ExitCode:
    """Return the exit code for an error of the operating system: a full disk has one of its own."""
    return ExitCode.NO_SPACE if error.errno in (ENOSPC, EDQUOT) else ExitCode.IO


def reason(error: OSError) -> str:
    """Return the words for an error of the operating system, as etcdctl has them."""
    return (error.strerror or str(error)).lower()


def complete() -> None:
    """Put /dev/null where a standard stream is closed, as a program has to that opens files and sockets: the next one
    would be taken for the stream. Nothing is read from it then, and what is written is lost, as in etcdctl.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            if descriptor == 1:
                _lost.append("warning: standard output is closed, and nothing is shown")
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def write(data: bytes) -> None:
    """Write bytes to standard output at once.

    Raises:
        BrokenPipeError: There is no reader any more.
        OutputFailed: They cannot be written.
    """
    if _lost:
        complain(_lost.pop())
    try:
        sys.stdout.flush()
        _write(sys.stdout.buffer, memoryview(data))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(error) from None


def _write(out: BinaryIO, left: memoryview) -> None:
    try:
        descriptor = out.fileno()
    except OSError:  # a test looks at what is written
        out.write(left)
        return
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def complain(line: str) -> None:
    """Write a line to standard error, if it takes any."""
    with suppress(OSError):
        sys.stderr.buffer.write(line.encode(errors="surrogateescape") + b"\n")
        sys.stderr.buffer.flush()


def read() -> bytes:
    """Return all of standard input, waiting also where somebody has set it to not block."""
    with suppress(OSError):
        os.set_blocking(sys.stdin.fileno(), True)
    return sys.stdin.buffer.read()
