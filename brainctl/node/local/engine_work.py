"""Background work over the local engine, beside the requests: reclaim, writing the index, making segments ahead."""

import asyncio

from brainctl.background_tasks import BackgroundTasks
from brainctl.engine.engine import Engine
from brainctl.errors import BrainctlError
from brainctl.mvcc.commit import Commit
from brainctl.node.local.group_commit import GroupCommit
from brainctl.node.local.token_bucket import Bucket

RECLAIM_BYTES = 256 << 10
"""The most bytes that one step of background reclaim reads and writes; requests are served between steps."""
RECLAIM_RATE = 64 << 20
"""The most bytes per second that reclaim reads and writes, unless it is set otherwise."""
RECLAIM_BURST = 1 << 20
"""The bytes that reclaim may read and write at once after a pause."""
QUIET_SECONDS = 1.0
"""After this many seconds without a write a store uses the quiet to write its index."""
INDEX_BYTES = 64 << 10
"""The most bytes of the index that one step writes: a step holds the interpreter lock for some milliseconds."""


class EngineWork:
    """The background work of one open store; its steps run on other threads, one of each kind at a time."""

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        commits: GroupCommit,
        tasks: BackgroundTasks,
        reclaim_rate: int,
    ) -> None:
        """Create the work, and begin with what was left to do before the last stop.

        Args:
            engine: The open store.
            loop: The event loop that owns its state.
            commits: Fails when the work fails, and writes the commits that it needs.
            tasks: Run the work.
            reclaim_rate: The most bytes per second that reclaim reads and writes; 0 is no bound.
        """
        self._engine = engine
        self._loop = loop
        self._commits = commits
        self._tasks = tasks
        self._now = engine.options.clock.monotonic
        self._bucket = Bucket(reclaim_rate, RECLAIM_BURST, self._now())
        """The rate limit of reclaim."""
        self._reclaiming = False
        self._indexing = False
        # A compaction before the last stop may have left garbage to reclaim and an index to write.
        tasks.spawn(self._reclaim())
        tasks.spawn(self._index())
        self._last_commit = loop.time()
        """The time of the last commit, in seconds of the event loop."""
        tasks.call_later(QUIET_SECONDS, self._use_quiet)

    def published(self, commit: Commit) -> None:
        """Start the background work that a commit has made due: reclaim, writing the index, making the next segment."""
        if commit.compact and not self._reclaiming:
            self._tasks.spawn(self._reclaim())
        self._last_commit = self._loop.time()
        if self._engine.background.index_due and not self._indexing:
            self._indexing = True
            self._tasks.spawn(self._index())
        if self._engine.next_segment_due:
            self._tasks.spawn(asyncio.to_thread(self._engine.allocate_next_segment()))

    async def _reclaim(self) -> None:
        """Give back space in small steps on another thread, one step at a time."""
        self._reclaiming = True
        try:
            await self._give_back(everything=False)
        except BrainctlError as error:
            self._commits.fail(error)
        finally:
            self._reclaiming = False

    async def _give_back(self, *, everything: bool) -> None:
        """Reclaim at the permitted rate; with `everything` also segments of which little is garbage."""
        background = self._engine.background
        for work in background.reclaim(RECLAIM_BYTES, everything=everything, nudge=self._commits.confirm_resting):
            moved = background.reclaim_bytes
            await asyncio.to_thread(work)
            delay = self._bucket.take(background.reclaim_bytes - moved, self._now())
            if delay:
                await asyncio.sleep(delay)

    def _use_quiet(self) -> None:
        """Confirm the last write and write the index when nothing was written for QUIET_SECONDS.

        Look again after as long.
        """
        quiet = self._loop.time() - self._last_commit >= QUIET_SECONDS
        if quiet and self._engine.unconfirmed:
            self._commits.confirm_resting()
        if quiet and self._engine.background.index_wanted and not self._indexing:
            self._indexing = True
            self._tasks.spawn(self._index(everything=True))
        self._tasks.call_later(QUIET_SECONDS, self._use_quiet)

    async def _index(self, *, everything: bool = False) -> None:
        """Write the index of new keys to the disk, so that the next opening need not read them from the log."""
        self._indexing = True
        try:
            for work in self._engine.background.index(INDEX_BYTES, everything=everything):
                await asyncio.to_thread(work)
        except BrainctlError as error:
            self._commits.fail(error)
        finally:
            self._indexing = False

    async def defragment(self) -> None:
        """Reclaim everything that is garbage now, in steps.

        Raises:
            BrainctlError: Reading or writing failed; when the engine has failed, the backend stops too.
        """
        try:
            await self._give_back(everything=True)
        except BrainctlError:
            if self._engine.failure is not None:
                self._commits.fail(self._engine.failure)
            raise
