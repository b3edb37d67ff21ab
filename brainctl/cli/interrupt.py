"""Ctrl-C: the first one ends the process, whatever it is doing, with exit code 130 and without a traceback.

While modules are loaded it ends at once. A command that runs is cancelled, and has CLOSING_SECONDS to close what it has
opened; while it waits for a person, at a prompt or for standard input, nothing can cancel it, and it is interrupted.
"""

import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

from brainctl.errors import ExitCode

CLOSING_SECONDS = 2.0
"""Seconds that an interrupted command may take to close its store."""
_asking = 0


def at_once() -> None:
    """Let SIGINT end the process where it stands, unless it was started with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def asking() -> Iterator[None]:
    """Wait for a person in this block: SIGINT raises KeyboardInterrupt in it."""
    global _asking  # noqa: PLW0603 - signals know no other scope
    _asking += 1
    try:
        yield
    finally:
        _asking -= 1


def run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a command on an event loop of its own, in a process that SIGINT ends also where it was ignored from birth.

    Raises:
        KeyboardInterrupt: SIGINT came.
    """
    import asyncio

    task: asyncio.Task[None] | None = None
    interrupted = False

    async def whole() -> None:
        nonlocal task
        task = asyncio.current_task()
        await work()

    def interrupt(number: int, frame: object) -> None:
        nonlocal interrupted
        if _asking:
            raise KeyboardInterrupt
        if interrupted or task is None or task.done():
            _end(number, frame)
            return
        interrupted = True
        _end_after(CLOSING_SECONDS)
        task.cancel()
        runner.get_loop().call_soon_threadsafe(lambda: None)  # it may be waiting for its files

    runner = asyncio.Runner()
    try:
        runner.get_loop()
    except OSError:  # no descriptor is left, and what asyncio began cannot be taken apart
        sys.unraisablehook = lambda _: None
        raise
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with runner:
            runner.run(whole())
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def raised() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt in this block, unless it is ignored: for commands without an event loop."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, before)


def _end(number: int, frame: object) -> None:
    del number, frame
    os._exit(ExitCode.SIGINT)


def _end_after(seconds: float) -> None:
    """End the process after `seconds`, unless it has ended by itself."""
    import threading

    timer = threading.Timer(seconds, _end, (signal.SIGINT, None))
    timer.daemon = True
    timer.start()
