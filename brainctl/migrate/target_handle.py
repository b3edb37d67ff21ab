"""The target of a migration: it is closed while both sides are compared, and then taken over again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from brainctl.errors import Fenced
from brainctl.migrate.machine.events import Write
from brainctl.migrate.machine.phases import STREAMING
from brainctl.migrate.machine.record import Record
from brainctl.migrate.target import Target
from brainctl.stores.store import Checkpoint

OpenTarget = Callable[[], Awaitable[Target]]
"""Opens the target, without taking it over."""


class TargetHandle:
    """Carries out the writes of one process: all of them carry its run (its random name) and its epoch."""

    def __init__(self, target: Target, reopen: OpenTarget, run: str, epoch: int) -> None:
        """Create the handle of an open target.

        Args:
            target: The target, taken over with this run and epoch.
            reopen: Opens the target again, without taking it over.
            run: The random name of this process.
            epoch: The number of the take-over; a write with a lower one than the stored is refused.
        """
        self._target: Target | None = target
        self._reopen = reopen
        self._run = run
        self._epoch = epoch
        self._using = asyncio.Lock()

    async def write(self, action: Write) -> None:
        """Make a write durable, after any comparison that is running.

        Raises:
            Fenced: Another process has taken the target over.
        """
        async with self._using:
            target = await self._owned()
            await target.write(action, Checkpoint(self._run, self._epoch, action.record.encode()))

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Close the target for the block, so that it can be opened for reading, then take it over again.

        Raises:
            Fenced: Another process has taken it over meanwhile, or written to it.
        """
        async with self._using:
            await self._release()
            yield
            await self._owned()

    async def stored(self) -> Record:
        """Return the record that the target has.

        Raises:
            Fenced: Another process has taken the target over.
        """
        async with self._using:
            target = self._target or await self._reopen()
            try:
                return Record.decode(self._own((await target.look()).checkpoint).state)
            finally:
                if target is not self._target:
                    await target.close()

    async def close(self) -> None:
        """Close the target."""
        async with self._using:
            await self._release()

    async def _release(self) -> None:
        target, self._target = self._target, None
        if target is not None:
            await target.close()

    async def _owned(self) -> Target:
        """Return the target; if it was closed, open it and take it over with the next epoch."""
        if self._target is None:
            target = await self._reopen()
            try:
                held = await target.look()
                stored = self._own(held.checkpoint)
                _check_untouched(held.revision, Record.decode(stored.state))
                checkpoint = stored._replace(epoch=stored.epoch + 1)
                await target.take_over(checkpoint)
            except BaseException:
                await target.close()
                raise
            self._target, self._epoch = target, checkpoint.epoch
        return self._target

    def _own(self, stored: Checkpoint | None) -> Checkpoint:
        """Return the checkpoint if this process wrote it, in whatever epoch.

        Raises:
            Fenced: Another process wrote it.
        """
        if stored is None or stored.run != self._run:
            raise Fenced("another migration has taken over the target: run one into a store at a time")
        return stored


def _check_untouched(revision: int, record: Record) -> None:
    """Check that the target is at the revision that its record says.

    Raises:
        Fenced: Another process has written to it.
    """
    if record.phase in STREAMING and revision != record.watermark:
        raise Fenced(
            f"the target is at revision {revision}, but this migration left it at {record.watermark}: another process "
            "has written to it; stop that one, and start over with --overwrite"
        )
