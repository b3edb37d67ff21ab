"""The follower reads the changes of a source as they come, and passes them to the state machine as that has room."""

import asyncio
from contextlib import aclosing

from brainctl.errors import BrainctlError
from brainctl.migrate.machine.events import Event, SourceCompacted, Streamed, Watch
from brainctl.migrate.machine.phases import STREAMING, Phase
from brainctl.migrate.machine.state import Migration
from brainctl.migrate.machine.witness import Witness
from brainctl.migrate.retry import RetryPolicy
from brainctl.migrate.source import Source
from brainctl.migrate.spool import Spool

WAITING_EVENTS = 4
"""Number of events waiting for the state machine above which it gets no more of the stream."""
PASSED_BYTES = 1 << 20
"""Bytes of changes that are passed to the state machine at once, unless a single revision has more."""


class Follower:
    """Follows one source for one migration, from one `Watch` to the next."""

    def __init__(self, source: Source, migration: Migration, inbox: "asyncio.Queue[Event | Exception]") -> None:
        self._source = source
        self._migration = migration
        self._inbox = inbox
        self._spool = Spool()
        self._changed = asyncio.Event()
        """Set when the state machine may have room, or something has arrived."""
        self._drained = asyncio.Event()
        """Set while the spool takes more."""
        self._watch: Watch | None = None
        self._witness = Witness(0)
        """The digests of the newest revisions that were delivered."""

    def begin(self, watch: Watch) -> None:
        """Set the watch that `run` is to follow from now on; what was delivered of the one before is forgotten."""
        self._watch = watch
        self._witness = Witness.decode(watch.start - 1, self._migration.record.witness)
        self._spool.clear()
        self._drained.set()

    async def run(self, patience: RetryPolicy) -> None:
        """Read the stream; when it breaks, open it again after the newest revision delivered.

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
        """Read one stream; return False to open it again, True when the source was compacted."""
        async with aclosing(self._source.changes(watch.attempt, self._witness)) as changes:
            async for event in changes:
                patience.succeeded()
                if isinstance(event, SourceCompacted) or not event.revisions:
                    self._inbox.put_nowait(event)
                if isinstance(event, SourceCompacted):
                    return True
                self._witness = self._witness.extend(event.revisions)
                self._spool.put(event.revisions)
                self._changed.set()
                if self._spool.full:
                    self._drained.clear()
                await self._drained.wait()
        return False

    async def pass_on(self) -> None:
        """Pass what was read to the state machine, whenever it has room; the caller cancels it."""
        while True:
            self._changed.clear()
            while self._may_pass_on():
                assert self._watch is not None
                self._inbox.put_nowait(Streamed(self._watch.attempt, self._spool.take(PASSED_BYTES)))
                if self._spool.empty:
                    self._drained.set()
            await self._changed.wait()

    def _may_pass_on(self) -> bool:
        """Return whether something waits, and the state machine has room for it."""
        return not (self._spool.empty or self._migration.full or self._inbox.qsize() > WAITING_EVENTS)

    def room(self) -> None:
        """Pass more on, because there is room in the backlog."""
        self._changed.set()

    def close(self) -> None:
        """Remove what waits on the disk; the tasks have ended."""
        self._spool.clear()

    def has_stalled(self, revision: int) -> bool:
        """Return whether the stream should be opened again; the source is at `revision`.

        Raises:
            StreamBroken: It has brought nothing for many minutes.
        """
        if self._watch is None or self._migration.phase not in STREAMING | {Phase.COPYING}:
            return False
        return self._source.has_stalled(revision)
