"""Keep reports of panics in the TiKV client's Rust runtime from the terminal.

Rust writes a panic straight to file descriptor 2, with paths of the machine that built it, and a backtrace where
RUST_BACKTRACE is set. The call that failed raises an exception as well, which is shown in words. So the descriptor is
given to a thread that passes on everything but such reports; Python's own standard error gets a descriptor of its own.
"""

import logging
import os
import re
import sys
import threading
from typing import BinaryIO

from brainctl.clock import SystemClock

_PANIC = re.compile(rb"thread '.*' panicked at |^stack backtrace:|^ +[0-9]+: |^ +at |^note: .*RUST_BACKTRACE")
BURST_SECONDS = 0.5
"""Seconds within which any line after a line of a report is taken for a part of it: its message may have several."""


def divert_panics() -> None:
    """Filter reports of panics out of standard error from now on.

    Does nothing where that was done, where standard error is not that of the process (in tests, which capture it), and
    under BRAINCTL_DEBUG.
    """
    old = sys.stderr
    if os.environ.get("BRAINCTL_DEBUG") or old is not sys.__stderr__ or old is None or old.fileno() != 2:
        return
    old.flush()
    terminal = os.dup(2)
    end, start = os.pipe()
    os.dup2(start, 2)
    os.close(start)
    new = os.fdopen(terminal, "w", 1, encoding=old.encoding, errors=old.errors)
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(new)
    sys.stderr = new
    reader = os.fdopen(end, "rb")
    threading.Thread(target=_pass_on, args=(reader, terminal), name="panics", daemon=True).start()


def _pass_on(lines: BinaryIO, terminal: int) -> None:
    """Copy lines to the terminal until the other end is closed, without reports of panics."""
    clock, last = SystemClock(), float("-inf")
    for line in lines:
        now = clock.monotonic()
        if _PANIC.search(line) or now - last < BURST_SECONDS:
            last = now
        else:
            os.write(terminal, line)
