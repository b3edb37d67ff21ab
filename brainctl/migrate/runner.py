"""The runner carries out the actions of the state machine: each action is a task, each answer an event.

A request that fails because a store does not answer is repeated for as long as --retry-for allows (`retry.py`). After
any other failure the next process resumes from the checkpoint. A write is not cancelled while the target answers: its
outcome would be unknown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from brainctl.clock import Clock
from brainctl.errors import BrainctlError
from brainctl.migrate.cutover import Freezer
from brainctl.migrate.follower import Follower
from brainctl.migrate.machine.events import (
    Action,
    AuthRead,
    ChooseBase,
    Event,
    FetchLeases,
    Finish,
    Freeze,
    GiveUp,
    ReadAuth,
    ReadPage,
    ReconcileLeases,
    Stop,
    Unfreeze,
    Unfrozen,
    Verified,
    Verify,
    Watch,
    Write,
    Written,
)
from brainctl.migrate.machine.phases import STREAMING
from brainctl.migrate.machine.state import Migration
from brainctl.migrate.observer import Observer
from brainctl.migrate.progress import Figures, Progress
from brainctl.migrate.retry import Sides
from brainctl.migrate.source import Source
from brainctl.migrate.target_handle import TargetHandle
from brainctl.migrate.unfreezing import Unfreezing

POLL_SECONDS = 0.25
"""Seconds between two reads of the source's revision."""
REPORT_SECONDS = 1.0
"""Seconds between two reports of progress."""
LEASES_SECONDS = 2.0
"""Seconds between two listings of the source's leases."""
AUTH_SECONDS = 10.0
"""Seconds between two looks for changed users or roles.

They are rare because etcd writes this question to its Raft log.
"""

Compare = Callable[[int], Awaitable[int]]
"""Compares both sides at a revision, while the target is closed; returns the number of differences."""


class Runner:
    """Runs one migration to its goal in this process."""

    def __init__(
        self,
        migration: Migration,
        source: Source,
        slot: TargetHandle,
        freezer: Freezer,
        compare: Compare,
        observer: Observer,
        clock: Clock,
        sides: Sides,
    ) -> None:
        """Create the runner of `migration`.

        Args:
            migration: The state machine.
            source: The source, which has begun with the record of `migration`.
            slot: The target, taken over by this process.
            freezer: The hooks of a cutover.
            compare: Compares both sides before a commit.
            observer: Receives progress and warnings.
            clock: The clock.
            sides: How long to wait for each store.
        """
        self.migration = migration
        self.progress = Progress(migration, clock)
        self._source = source
        self._slot = slot
        self._freezer = freezer
        self._compare = compare
        self._observer = observer
        self._clock = clock
        self._sides = sides
        self._inbox: asyncio.Queue[Event | Exception] = asyncio.Queue()
        """Events for the state machine, and errors of tasks."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Reads, which are cancelled at the end."""
        self._essential: set[asyncio.Task[None]] = set()
        """Writes and unfreezing, which are waited for at the end."""
        self._tail: asyncio.Task[None] | None = None
        """The task that follows the change stream."""
        self._verifying: asyncio.Task[None] | None = None
        self._follower = Follower(source, migration, self._inbox)
        self._unfreezing = Unfreezing(migration, freezer, slot, observer)
        self._finish: Finish | None = None

    def stop(self) -> None:
        """End in order as soon as the write in flight is durable; a target that does not answer is not waited for."""
        self._sides.target.hurry()
        self._inbox.put_nowait(Stop())

    async def run(self) -> str:
        """Run until the goal is reached or the cutover is given up.

        Returns:
            "" when the goal is reached, otherwise why the cutover was given up.

        Raises:
            Exception: What ended the migration early.
        """
        try:
            self._begin(self.migration.begin())
            self._spawn(self._poll(), self._tasks)
            self._spawn(self._follower.pass_on(), self._tasks)
            while self._finish is None:
                await self._handle_next()
        except BaseException as error:
            self._sides.hurry()
            await self._end_tasks()
            if not self.migration.frozen or not await self._unfreezing.after(error):
                raise
            return ""
        await self._end_tasks()
        while not self._inbox.empty():
            late = self._inbox.get_nowait()
            if isinstance(late, Exception):
                raise late
        self._observer.progress(self.figures())
        return self._finish.reason

    async def _end_tasks(self) -> None:
        """Cancel the reads, and wait for the write in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._essential, return_exceptions=True)
        self._follower.close()

    async def _handle_next(self) -> None:
        """Pass the next event to the state machine, and start the actions that it returns."""
        event = await self._inbox.get()
        if isinstance(event, Exception):
            raise event
        phase = self.migration.phase
        self._begin(self.migration.handle(event))
        if self.migration.phase is not phase:
            self._observer.progress(self.figures())
        if not self.migration.full:
            self._follower.room()

    def _begin(self, actions: list[Action]) -> None:
        """Start the tasks that carry out the actions."""
        for action in actions:
            if isinstance(action, Write):
                self._spawn(self._write(action), self._essential)
                continue
            match action:
                case Finish():
                    self._finish = action
                case Watch():
                    self._follower.begin(action)
                    self._open_stream()
                case Unfreeze():
                    self._spawn(self._unfreeze(), self._essential)
                case Verify(revision):
                    self._verifying = self._spawn(self._verify(revision), self._tasks)
                case Freeze(again):
                    self._spawn(self._freeze(again=again), self._tasks)
                case _:
                    self._spawn(self._answer(action), self._tasks)

    def _spawn(self, work: Coroutine[None, None, None], group: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        """Start a task whose failure ends the migration."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 -- whatever it is, `run` raises it
                self._inbox.put_nowait(error)

        task = asyncio.ensure_future(guarded())
        group.add(task)
        task.add_done_callback(group.discard)
        return task

    async def _write(self, action: Write) -> None:
        await self._slot.write(action)
        self._inbox.put_nowait(Written())

    async def _answer(self, action: Action) -> None:
        self._inbox.put_nowait(await self._sides.source.call(lambda: self._ask(action), long=True))

    async def _ask(self, action: Action) -> Event:
        """Read from the source what an action requests, and return it as an event."""
        match action:
            case ChooseBase(attempt, oldest):
                return await self._source.choose_base(attempt, oldest=oldest)
            case ReadPage():
                return await self._source.page(action)
            case FetchLeases(ids):
                return await self._source.fetch(ids)
            case ReconcileLeases():
                return await self._source.leases(frozenset(self.migration.leases.held), final=True)
            case ReadAuth():
                return AuthRead(dict(await self._source.auth()))
            case _:
                raise AssertionError(action)

    async def _freeze(self, *, again: bool) -> None:
        self._inbox.put_nowait(await self._freezer.freeze(again=again))

    async def _unfreeze(self) -> None:
        """Cancel the comparison, and unfreeze the source."""
        if self._verifying is not None:
            self._verifying.cancel()
        self._inbox.put_nowait(Unfrozen(await self._unfreezing.unfreeze()))

    async def _verify(self, revision: int) -> None:
        """Compare both sides with the target closed, so that the comparison can open it for reading."""
        differences, failed = 0, ""
        async with self._slot.lent():
            try:
                differences = await self._sides.both.call(lambda: self._compare(revision), long=True)
                if self.migration.auth.copied:
                    # Users and roles have no revision among the keys: only this read shows whether they changed
                    # during the comparison.
                    await self._answer(ReadAuth())
            except BrainctlError as error:
                failed = f"the comparison failed: {error}"
        self._inbox.put_nowait(GiveUp(failed) if failed else Verified(await self._revision(), differences))

    async def _revision(self) -> int:
        return await self._sides.source.call(self._source.revision)

    # The change stream.

    def _open_stream(self) -> None:
        """Open the change stream, instead of the one that is open."""
        if self._tail is not None:
            self._tail.cancel()
        self._tail = self._spawn(self._follower.run(self._sides.source.patience()), self._tasks)

    # Polling.

    async def _poll(self) -> None:
        """Look at the source's revision, new leases and changed users again and again, and report the progress."""
        reported = listed = looked = self._clock.monotonic()
        while True:
            seen = await self._sides.source.call(self._source.look)
            self.progress.source_at(seen.revision)
            self._inbox.put_nowait(seen)
            now = self._clock.monotonic()
            streaming = self.migration.phase in STREAMING
            if now - reported >= REPORT_SECONDS:
                reported = now
                self._observer.progress(self.figures())
            if streaming and now - listed >= LEASES_SECONDS:
                listed = now
                self._inbox.put_nowait(await self._sides.source.call(self._new_leases, long=True))
            if streaming and self.migration.auth.copied and now - looked >= AUTH_SECONDS:
                looked = now
                if (changed := await self._sides.source.call(self._source.changed_auth, long=True)) is not None:
                    self._inbox.put_nowait(AuthRead(dict(changed)))
            if self._follower.has_stalled(seen.revision):
                self._open_stream()
            await asyncio.sleep(POLL_SECONDS)

    async def _new_leases(self) -> Event:
        return await self._source.leases(frozenset(self.migration.leases.held), final=False)

    def figures(self) -> Figures:
        """Return the current figures."""
        self.progress.retries = self._sides.retries
        return self.progress.figures()
