"""A target whose calls are repeated while it does not answer.

Each call may be repeated: a write that may have happened writes the same again, or nothing, because events at or below
the target's revision are skipped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from brainctl.errors import BrainctlError
from brainctl.migrate.machine.events import Reset, Write
from brainctl.migrate.retry import Side
from brainctl.migrate.target import Target, TargetState
from brainctl.stores.store import Checkpoint

Answer = TypeVar("Answer")

CLOSE_SECONDS = 10.0
"""The longest time for a close, in seconds; a lead on TiKV that is not given back in it expires by itself."""
AWAY_SECONDS = 1.0
"""The longest time for a close, in seconds, when the target did not answer the last call."""


class PatientTarget:
    """A `Target` that repeats the calls of another one while it does not answer."""

    def __init__(self, target: Target, side: Side) -> None:
        self._target = target
        self._side = side
        self._answers = True

    async def look(self) -> TargetState:
        """See `Target.look`."""
        return await self._call(self._target.look)

    async def served_by(self, *, or_migrated: bool) -> str:
        """See `Target.served_by`."""
        return await self._call(lambda: self._target.served_by(or_migrated=or_migrated), long=True)

    async def take_over(self, checkpoint: Checkpoint) -> None:
        """See `Target.take_over`."""
        await self._call(lambda: self._target.take_over(checkpoint))

    async def write(self, action: Write, checkpoint: Checkpoint) -> None:
        """See `Target.write`."""
        await self._call(lambda: self._target.write(action, checkpoint), long=isinstance(action, Reset))

    async def close(self) -> None:
        """See `Target.close`. It does not wait for a target that does not answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS if self._answers else AWAY_SECONDS):
                try:
                    await self._target.close()
                except BrainctlError as error:
                    if not error.passing:
                        raise

    async def _call(self, ask: Callable[[], Awaitable[Answer]], *, long: bool = False) -> Answer:
        """Repeat a call until the target answers, and note whether it does."""
        self._answers = False
        answer = await self._side.call(ask, long=long)
        self._answers = True
        return answer
