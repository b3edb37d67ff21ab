"""The steps of a cutover outside the stores: run the user's hooks, and see that the source takes no more writes."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from brainctl.clock import Clock
from brainctl.errors import BrainctlError
from brainctl.migrate.machine.events import Frozen, GiveUp

HOLD_STILL = 1.0
"""Seconds between two reads of the revision that must be equal."""
KILL_AFTER = 2.0
"""Seconds between SIGTERM and SIGKILL for a hook that took too long."""


_SHELL = "/bin/sh"
_WATCHED = 'exec 3<&0 </dev/null; { read -r _ <&3 || kill -9 "-$$"; } & exec 3<&-; exec "$0" -c "$1"'
"""Runs a hook beside a process that reads from its caller: when the caller is gone without a word, killed for example,
that process kills the group of the hook, which must not freeze anything behind the back of the next migration.
"""


class HookFailed(BrainctlError):
    """A hook command ended with an exit code other than 0, or its time was over."""


async def run_hook(command: str, seconds: float, **variables: str) -> None:
    """Run a command in a shell, with BRAINCTL_<NAME> set for each variable; its output goes to standard error.

    The command has a process group of its own, which is ended after `seconds`, or when the caller is cancelled or dies.
    What the command leaves in the background when it ends is left alone.

    Raises:
        HookFailed: The command ended with another exit code than 0, or took longer than `seconds`.
    """
    environment = os.environ | {f"BRAINCTL_{name.upper()}": value for name, value in variables.items()}
    end, word = os.pipe()
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *(_SHELL, "-c", _WATCHED, _SHELL, command),
                env=environment,
                stdin=end,
                stdout=sys.stderr,
                stderr=sys.stderr,
                start_new_session=True,
            )
        finally:
            os.close(end)
        try:
            async with asyncio.timeout(seconds):
                code = await process.wait()
        except TimeoutError:
            raise HookFailed(
                f"the hook {command!r} was ended because it took longer than {seconds:g} s (--freeze-timeout)"
            ) from None
        finally:
            if process.returncode is None:
                await asyncio.shield(_end(process))
            else:
                with suppress(BrokenPipeError):
                    os.write(word, b"\n")  # all is well
    finally:
        os.close(word)
    if code:
        raise HookFailed(f"the hook {command!r} ended with exit code {code}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Terminate the process group of a hook, whose id is the shell's."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(KILL_AFTER):
                await process.wait()
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


class Freezer:
    """Stops the writes to the source by the user's hooks, and proves it by its revision."""

    def __init__(
        self, revision: Callable[[], Awaitable[int]], clock: Clock, freeze: str, unfreeze: str, seconds: float
    ) -> None:
        """Create a freezer.

        Args:
            revision: Reads the newest revision of the source.
            clock: The clock.
            freeze: The command that stops the writers; "" when something else stops them.
            unfreeze: The command that lets the writers go on; "" when there is none.
            seconds: The time for the freeze hook and the source together, and again for the unfreeze hook.
        """
        self.hook = freeze
        self._revision = revision
        self._clock = clock
        self._unfreeze = unfreeze
        self._seconds = seconds
        self._running: asyncio.Task[None] | None = None

    async def freeze(self, *, again: bool) -> Frozen | GiveUp:
        """Freeze the source and return its last revision, once two reads HOLD_STILL seconds apart agree.

        Args:
            again: The hook has run already; only the revision is read.

        Returns:
            Frozen with the revision, or GiveUp with the reason.
        """
        deadline = self._clock.monotonic() + self._seconds
        if self.hook and not again:
            self._running = asyncio.ensure_future(run_hook(self.hook, self._seconds, phase="freezing"))
            try:
                await self._running
            except HookFailed as error:
                return GiveUp(str(error))
        before = await self._revision()
        while True:
            await asyncio.sleep(HOLD_STILL)
            revision = await self._revision()
            if revision == before:
                return Frozen(revision)
            if self._clock.monotonic() > deadline:
                return GiveUp(f"the source still takes writes after {self._seconds:g} s; it is at revision {revision}")
            before = revision

    async def unfreeze(self) -> bool:
        """End a freeze hook that still runs, and run the unfreeze hook; return False when there is none.

        Raises:
            HookFailed: The source may still be frozen.
        """
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.wait({self._running})
        if self._unfreeze:
            await run_hook(self._unfreeze, self._seconds, phase="unfreezing")
        return bool(self._unfreeze)
