"""A child process of the tests: started, awaited until it answers, and always stopped by its own pid."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

READY_SECONDS = 120.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.01


def accepts(port: int) -> bool:
    """Whether somebody listens on the port of the loopback interface."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Child:
    """One process. Its output goes to a file, so that it never blocks on a full pipe."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv = _dying_with_parent(argv)
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until(self, ready: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Return when `ready()` holds; raise when the process ends first, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise ChildFailed(f"{self.argv} ended with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ChildFailed(f"{self.argv} is not ready after {seconds} s:\n{self.output()}")
            time.sleep(POLL_SECONDS)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM, then SIGKILL when it takes too long; returns the exit code. Does nothing to one that ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.wait()

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait()


class ChildFailed(AssertionError):
    """A child process did not get ready."""


def _dying_with_parent(argv: Sequence[str]) -> list[str]:
    """So that a killed test run leaves no servers behind (util-linux; the pid stays the child's own).

    The kernel watches the thread that started the child: start children from threads that live as long.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *argv] if setpriv else list(argv)
