"""The steps of a cutover that touch the world: stop the writers, see that the source holds still, compare."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from brainctl.clock import Clock
from brainctl.errors import BrainctlError
from brainctl.migrate.events import Frozen, GiveUp

HOLD_STILL = 1.0
"""Seconds between two reads of the revision that must be equal."""


class HookFailed(BrainctlError):
    """A hook command ended with an exit code other than 0."""


async def run_hook(command: str, **variables: str) -> None:
    """Run a command in a shell, with BRAINCTL_<NAME> set for each variable; what it prints goes to standard error.
    HookFailed.
    """
    environment = os.environ | {f"BRAINCTL_{name.upper()}": value for name, value in variables.items()}
    process = await asyncio.create_subprocess_shell(command, env=environment, stdout=sys.stderr)
    code = await process.wait()
    if code:
        raise HookFailed(f"the hook {command!r} ended with exit code {code}")


class Freezer:
    """Stops the writes to the source by the user's hooks, and proves it."""

    def __init__(
        self, revision: Callable[[], Awaitable[int]], clock: Clock, freeze: str, unfreeze: str, seconds: float
    ) -> None:
        self._revision = revision
        self._clock = clock
        self._freeze = freeze
        self._unfreeze = unfreeze
        self._seconds = seconds

    async def freeze(self, *, again: bool) -> Frozen | GiveUp:
        """The source's last revision, once two reads a moment apart agree."""
        if self._freeze and not again:
            try:
                await run_hook(self._freeze, phase="freezing")
            except HookFailed as error:
                return GiveUp(str(error))
        deadline = self._clock.monotonic() + self._seconds
        before = await self._revision()
        while True:
            await asyncio.sleep(HOLD_STILL)
            revision = await self._revision()
            if revision == before:
                return Frozen(revision)
            if self._clock.monotonic() > deadline:
                return GiveUp(f"the source still takes writes after {self._seconds:g} s; it is at revision {revision}")
            before = revision

    async def unfreeze(self) -> None:
        """Let the writers go on."""
        if self._unfreeze:
            await run_hook(self._unfreeze, phase="unfreezing")
