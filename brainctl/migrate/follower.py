"""The follower passes the changes of a source to the state machine, and waits while that has enough to write."""

import asyncio
from contextlib import aclosing

from brainctl.errors import BrainctlError
from brainctl.migrate.machine.events import Event, SourceCompacted, Watch
from brainctl.migrate.machine.phases import STREAMING, Phase
from brainctl.migrate.machine.state import Migration
from brainctl.migrate.machine.witness import Witness
from brainctl.migrate.retry import RetryPolicy
from brainctl.migrate.source import Source

WAITING_EVENTS = 100
"""Number of events waiting for the state machine above which the stream is not read."""


class Follower:
    """Follows one source for one migration, from one `Watch` to the next."""

    def __init__(self, source: Source, migration: Migration, inbox: "asyncio.Queue[Event | Exception]") -> None:
        self._source = source
        self._migration = migration
        self._inbox = inbox
        self._room = asyncio.Event()
        self._watch: Watch | None = None
        self._witness = Witness(0)
        """The digests of the newest revisions delivered to the state machine."""

    def begin(self, watch: Watch) -> None:
        """Set the watch that `run` is to follow from now on."""
        self._watch = watch
        self._witness = Witness.decode(watch.start - 1, self._migration.record.witness)

    async def run(self, patience: RetryPolicy) -> None:
        """Deliver the stream; when it breaks, open it again after the newest revision delivered.

        Raises:
            BrainctlError: An error that does not pass, or patience is over.
        """
        assert self._watch is not None
        while True:
            try:
                if await self._deliver(self._watch, patience):
                    return
            except BrainctlError as error:
                await patience.wait(error)

    async def _deliver(self, watch: Watch, patience: RetryPolicy) -> bool:
        """Deliver one stream; return False to open it again, True when the source was compacted."""
        async with aclosing(self._source.changes(watch.attempt, self._witness)) as changes:
            async for event in changes:
                patience.succeeded()
                self._inbox.put_nowait(event)
                if isinstance(event, SourceCompacted):
                    return True
                self._witness = self._witness.extend(event.revisions)
                await self._has_room()
        return False

    async def _has_room(self) -> None:
        """Wait while the backlog is full: the source holds the rest."""
        self._room.clear()
        if self._migration.full or self._inbox.qsize() > WAITING_EVENTS:
            await self._room.wait()

    def room(self) -> None:
        """Resume reading, because there is room in the backlog."""
        self._room.set()

    def has_stalled(self, revision: int) -> bool:
        """Return whether the stream should be opened again; the source is at `revision`.

        Raises:
            StreamBroken: It has brought nothing for many minutes.
        """
        if self._watch is None or self._migration.phase not in STREAMING | {Phase.COPYING}:
            return False
        return self._source.has_stalled(revision)
