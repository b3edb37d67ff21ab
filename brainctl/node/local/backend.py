"""The local engine as a backend: reads at once, writes in group commits, and what is done beside the requests."""

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
"""How much one step of background reclaim may read and write; requests are served between steps."""
RECLAIM_RATE = 64 << 20
"""Bytes per second that reclaim may read and write, unless it is told otherwise."""
RECLAIM_BURST = 1 << 20
QUIET_SECONDS = 1.0
"""A store without writes for so long has time to write its index."""
INDEX_BYTES = 64 << 10
"""How much of the index one step may write: a step holds the interpreter for some milliseconds."""


class LocalBackend(GroupCommit):
    """A backend over a directory of this machine; made by `open_local`."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, reclaim_rate: int) -> None:
        super().__init__(engine, loop)
        self.view = engine
        self._bucket = Bucket(reclaim_rate, RECLAIM_BURST, engine.options.clock.monotonic())
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._reclaiming = False
        self._indexing = False
        # What a compaction before the last stop has left to do.
        self.spawn(self._reclaim())
        self.spawn(self._index())
        self._deafness = Deafness(engine.options.clock.monotonic, self.call_later)
        self.deaf_seconds = self._deafness.listen
        self._last_commit = loop.time()
        self.call_later(QUIET_SECONDS, self._use_quiet)

    # -- state --------------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The newest durable revision."""
        return self.engine.revision

    @property
    def compacted(self) -> int:
        """The compacted revision."""
        return self.engine.compacted

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return self.engine.size

    @property
    def size_in_use(self) -> int:
        """Bytes of live records."""
        return self.engine.size_in_use

    @property
    def leads(self) -> bool:
        """Always: the directory is held alone."""
        return True

    def record(self, name: bytes) -> bytes | None:
        """A small record."""
        return self.engine.record(name)

    def records(self, prefix: bytes) -> dict[bytes, bytes]:
        """Small records by prefix."""
        return self.engine.meta(prefix)

    # -- reads --------------------------------------------------------------------------------------------------

    def get(self, key: bytes, reply: Reply) -> None:
        """Answer at once."""
        engine = self.engine
        try:
            answer: bytes | BrainctlError = point_response(self.header(engine.revision), engine.newest(key))
        except BrainctlError as error:
            answer = error
        reply(answer)

    def range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """Answer at once, or slice by slice."""
        engine = self.engine
        self.slices.run(range_steps(engine, request, self.header(engine.revision)), reply, engine.hold)

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """Answer at once, or slice by slice."""
        batch = Batch(PendingWrites(Pinned(self.engine), self.tally), self.engine.record, self.header)
        self.slices.run(batch.txn_steps(request), reply, self.engine.hold)

    async def in_slices(self, steps: Steps[T]) -> T:
        """See `TakesSteps`."""
        return await self.slices.result(steps, self.engine.hold)

    # -- background ---------------------------------------------------------------------------------------------

    def _published(self, commit: Commit) -> None:
        """Begin what a commit has made worth doing."""
        if commit.compact and not self._reclaiming:
            self.spawn(self._reclaim())
        self._last_commit = self._loop.time()
        if self.engine.index_due and not self._indexing:
            self._indexing = True
            self.spawn(self._index())
        if self.engine.prepare_due:
            self.spawn(asyncio.to_thread(self.engine.prepare()))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Backend`."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """See `Backend`."""
        if self._closed:
            return

        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = self._loop.call_later(seconds, run)
        self._timers.add(handle)

    async def _reclaim(self) -> None:
        """Give back space in small steps beside the event loop, one at a time."""
        self._reclaiming = True
        try:
            await self._give_back(everything=False)
        except BrainctlError as error:
            self._fail(error)
        finally:
            self._reclaiming = False

    async def _give_back(self, *, everything: bool) -> None:
        """Reclaim at the rate that is allowed."""
        engine = self.engine
        for work in engine.reclaim(RECLAIM_BYTES, everything=everything, nudge=self._confirm_resting):
            moved = engine.reclaim_bytes
            await asyncio.to_thread(work)
            delay = self._bucket.take(engine.reclaim_bytes - moved, self._now())
            if delay:
                await asyncio.sleep(delay)

    def _confirm(self) -> None:
        """Let the log say that what was written last was durable."""
        try:
            commit, prepared = self.engine.confirm()
        except BrainctlError as error:  # background work has ended the log
            self._fail(error)
            return
        self._in_flight = []
        self._idle.clear()
        self._work.put((commit, prepared, GroupTimeline()))

    def _confirm_resting(self) -> None:
        """`_confirm`, when nothing is being written."""
        if self._idle.is_set() and not self._answers and self.failure is None:
            self._confirm()

    def _use_quiet(self) -> None:
        quiet = self._loop.time() - self._last_commit >= QUIET_SECONDS
        if quiet and self.engine.unconfirmed:
            self._confirm_resting()
        if quiet and self.engine.index_wanted and not self._indexing:
            self._indexing = True
            self.spawn(self._index(everything=True))
        self.call_later(QUIET_SECONDS, self._use_quiet)

    async def _index(self, *, everything: bool = False) -> None:
        """Write the index of what is new to the disk, so that the next opening need not read it from the log."""
        self._indexing = True
        try:
            for work in self.engine.index(INDEX_BYTES, everything=everything):
                await asyncio.to_thread(work)
        except BrainctlError as error:
            self._fail(error)
        finally:
            self._indexing = False

    async def defragment(self) -> None:
        """Reclaim whatever is garbage now, in steps."""
        try:
            await self._give_back(everything=True)
        except BrainctlError:
            if self.engine.failure is not None:
                self._fail(self.engine.failure)
            raise

    async def close(self) -> None:
        """Finish what was submitted; the directory can be opened by others afterwards."""
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
    """A backend over an open engine; a store that was never written gets its identity first.

    Reclaim reads and writes `reclaim_rate` bytes per second at most; 0 does not bound it.
    """
    if engine.record(IDENTITY) is None:
        ids = b"".join((secrets.randbits(63) | 1).to_bytes(8) for _ in range(2))
        commit = Commit(engine.revision, meta={IDENTITY: ids})
        prepared = engine.encode(commit)
        engine.write(prepared)
        engine.publish(commit, prepared)
    return LocalBackend(engine, loop, reclaim_rate)
