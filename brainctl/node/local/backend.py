"""The local engine as a backend: reads at once, writes in group commits, and background work beside the requests."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from brainctl.engine.engine import Engine
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.deafness import Deafness
from brainctl.mvcc.pending_writes import PendingWrites
from brainctl.mvcc.point_get import point_response
from brainctl.mvcc.ranges import range_steps
from brainctl.mvcc.steps import Steps
from brainctl.mvcc.view import Pinned
from brainctl.node.backend import Reply
from brainctl.node.local.group_commit import IDENTITY, GroupCommit
from brainctl.node.local.token_bucket import Bucket
from brainctl.node.local.write_stages import GroupTimeline

T = TypeVar("T")
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


class LocalBackend(GroupCommit):
    """A backend over a directory of this machine; `open_local` creates it."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, reclaim_rate: int) -> None:
        super().__init__(engine, loop)
        self.view = engine.view
        self._bucket = Bucket(reclaim_rate, RECLAIM_BURST, engine.options.clock.monotonic())
        """The rate limit of reclaim."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Background work, which `close` cancels."""
        self._timers: set[asyncio.TimerHandle] = set()
        self._reclaiming = False
        self._indexing = False
        # A compaction before the last stop may have left garbage to reclaim and an index to write.
        self.spawn(self._reclaim())
        self.spawn(self._index())
        self._deafness = Deafness(engine.options.clock.monotonic, self.call_later)
        self.deaf_seconds = self._deafness.listen
        self._last_commit = loop.time()
        """The time of the last commit, in seconds of the event loop."""
        self.call_later(QUIET_SECONDS, self._use_quiet)

    # -- state --------------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Return the newest durable revision."""
        return self.view.revision

    @property
    def compacted(self) -> int:
        """Return the compacted revision."""
        return self.view.compacted

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return self.engine.size

    @property
    def size_in_use(self) -> int:
        """Return the bytes of live records."""
        return self.engine.size_in_use

    @property
    def leads(self) -> bool:
        """Return True: this process holds the lock of the directory, so no other writes."""
        return True

    def record(self, name: bytes) -> bytes | None:
        """See `Backend.record`."""
        return self.engine.record(name)

    def records(self, prefix: bytes) -> dict[bytes, bytes]:
        """See `Backend.records`."""
        return self.engine.meta(prefix)

    # -- reads --------------------------------------------------------------------------------------------------

    def get(self, key: bytes, reply: Reply) -> None:
        """See `ReadsPoints.get`. The reply is called before this returns."""
        view = self.view
        try:
            answer: bytes | BrainctlError = point_response(self.header(view.revision), view.newest(key))
        except BrainctlError as error:
            answer = error
        reply(answer)

    def range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """See `Backend.range`. The reply is called before this returns, or after the last of several slices."""
        view = self.view
        self.slices.run(range_steps(view, request, self.header(view.revision)), reply, view.hold)

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """See `Backend.read`. The reply is called before this returns, or after the last of several slices."""
        batch = Batch(PendingWrites(Pinned(self.view), self.tally), self.engine.record, self.header)
        self.slices.run(batch.txn_steps(request), reply, self.view.hold)

    async def in_slices(self, steps: Steps[T]) -> T:
        """See `TakesSteps.in_slices`."""
        return await self.slices.result(steps, self.view.hold)

    # -- background ---------------------------------------------------------------------------------------------

    def _published(self, commit: Commit) -> None:
        """Start the background work that a commit has made due: reclaim, writing the index, making the next segment."""
        if commit.compact and not self._reclaiming:
            self.spawn(self._reclaim())
        self._last_commit = self._loop.time()
        if self.engine.background.index_due and not self._indexing:
            self._indexing = True
            self.spawn(self._index())
        if self.engine.prepare_due:
            self.spawn(asyncio.to_thread(self.engine.prepare()))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Backend.spawn`."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """See `Backend.call_later`."""
        if self._closed:
            return

        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = self._loop.call_later(seconds, run)
        self._timers.add(handle)

    async def _reclaim(self) -> None:
        """Give back space in small steps on another thread, one step at a time."""
        self._reclaiming = True
        try:
            await self._give_back(everything=False)
        except BrainctlError as error:
            self._fail(error)
        finally:
            self._reclaiming = False

    async def _give_back(self, *, everything: bool) -> None:
        """Reclaim at the permitted rate; with `everything` also segments of which little is garbage."""
        background = self.engine.background
        for work in background.reclaim(RECLAIM_BYTES, everything=everything, nudge=self._confirm_resting):
            moved = background.reclaim_bytes
            await asyncio.to_thread(work)
            delay = self._bucket.take(background.reclaim_bytes - moved, self._now())
            if delay:
                await asyncio.sleep(delay)

    def _confirm(self) -> None:
        """Write an empty commit, which proves that the commit before it was durable.

        In the file of a recycled segment, damage to the last record could otherwise be taken for an unfinished write.
        """
        try:
            commit, prepared = self.engine.confirm()
        except BrainctlError as error:  # background work has ended the log
            self._fail(error)
            return
        self._in_flight = []
        self._idle.clear()
        self._work.put((commit, prepared, GroupTimeline()))

    def _confirm_resting(self) -> None:
        """Call `_confirm` when nothing is being written.

        Reclaim calls it too, so that a log without writes goes on in a new segment.
        """
        if self._idle.is_set() and not self._answers and self.failure is None:
            self._confirm()

    def _use_quiet(self) -> None:
        """Confirm the last write and write the index when nothing was written for QUIET_SECONDS.

        Look again after as long.
        """
        quiet = self._loop.time() - self._last_commit >= QUIET_SECONDS
        if quiet and self.engine.unconfirmed:
            self._confirm_resting()
        if quiet and self.engine.background.index_wanted and not self._indexing:
            self._indexing = True
            self.spawn(self._index(everything=True))
        self.call_later(QUIET_SECONDS, self._use_quiet)

    async def _index(self, *, everything: bool = False) -> None:
        """Write the index of new keys to the disk, so that the next opening need not read them from the log."""
        self._indexing = True
        try:
            for work in self.engine.background.index(INDEX_BYTES, everything=everything):
                await asyncio.to_thread(work)
        except BrainctlError as error:
            self._fail(error)
        finally:
            self._indexing = False

    async def defragment(self) -> None:
        """See `Backend.defragment`. It reclaims everything that is garbage now, in steps.

        Raises:
            BrainctlError: Reading or writing failed; when the engine has failed, the backend stops too.
        """
        try:
            await self._give_back(everything=True)
        except BrainctlError:
            if self.engine.failure is not None:
                self._fail(self.engine.failure)
            raise

    async def close(self) -> None:
        """See `Backend.close`. Afterwards another process can open the directory."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()
        await self._idle.wait()
        self.slices.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._work.put(None)
        await asyncio.to_thread(self._writer.join)
        if self.on_closing is not None:
            self.on_closing()
        self.engine.close()


def open_local(engine: Engine, loop: asyncio.AbstractEventLoop, reclaim_rate: int = RECLAIM_RATE) -> LocalBackend:
    """Create the backend over an open engine; a store that was never written first gets its identity, durably.

    Args:
        engine: The open store.
        loop: The event loop that will own the state.
        reclaim_rate: The most bytes per second that reclaim reads and writes; 0 is no bound.
    """
    if engine.record(IDENTITY) is None:
        ids = b"".join((secrets.randbits(63) | 1).to_bytes(8) for _ in range(2))
        commit = Commit(engine.view.revision, meta={IDENTITY: ids})
        prepared = engine.encode(commit)
        engine.write(prepared)
        engine.publish(commit, prepared)
    return LocalBackend(engine, loop, reclaim_rate)
