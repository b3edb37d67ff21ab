"""brainctl in a process of its own."""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from brainctl.errors import BrainctlError

READY_SECONDS = 20.0
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """Start `brainctl ARGUMENTS`, without the variables that would configure it, its output kept."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BRAINCTL_", "ETCDCTL_"))}
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "brainctl", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdin=None, stdout=pipe, stderr=pipe, env=environment)


async def run(*arguments: str) -> str:
    """Run `brainctl ARGUMENTS` to its end, and return what it printed.

    Raises:
        BrainctlError: it ended with an exit code other than 0.
    """
    process = await start(*arguments)
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        raise BrainctlError(f"brainctl {arguments[0]} ended with {process.returncode}: {errors.decode().strip()}")
    return output.decode()


class Serving:
    """`brainctl serve` on a directory, at a free port of the loopback interface, as an async context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.endpoint = f"127.0.0.1:{_free_port()}"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start the server, and return once it accepts connections.

        Raises:
            BrainctlError: it ended, or was not ready within READY_SECONDS.
        """
        self._process = await start("serve", "--data-dir", str(self.directory), "--listen", self.endpoint)
        try:
            await asyncio.wait_for(self._accepts(self._process), READY_SECONDS)
        except TimeoutError:
            await self.__aexit__()
            raise BrainctlError(f"brainctl serve is not ready after {READY_SECONDS:g} s") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it in order."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _accepts(self, process: asyncio.subprocess.Process) -> None:
        host, _, port = self.endpoint.rpartition(":")
        while process.returncode is None:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                return
            await asyncio.sleep(_POLL_SECONDS)
        _, errors = await process.communicate()
        raise BrainctlError(f"brainctl serve ended with {process.returncode}: {errors.decode().strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
