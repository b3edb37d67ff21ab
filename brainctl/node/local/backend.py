"""The local engine as a backend: reads at once, writes in group commits, and background work beside the requests."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from brainctl.background_tasks import BackgroundTasks
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
from brainctl.node.backend import LocalEngine, Reply
from brainctl.node.local.engine_work import RECLAIM_RATE, EngineWork
from brainctl.node.local.group_commit import IDENTITY, GroupCommit

T = TypeVar("T")


class LocalBackend:
    """A backend over a directory of this machine; `open_local` creates it."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, reclaim_rate: int) -> None:
        """Create the backend of an open engine; its writer thread runs until `close`."""
        self.engine = engine
        self.view = engine.view
        self.commits = commits = GroupCommit(engine, loop)
        """The writes. Their methods are bound here once, so that a put costs no second call."""
        self.submit = commits.submit
        self.submit_burst = commits.submit_burst
        self.subscribe = commits.subscribe
        self.header = commits.header
        self.slices = commits.slices
        self.stages = commits.stages
        self.tally = commits.tally
        self._on_closing: Callable[[], None] | None = None
        """Called by `close` after the last write, while the lock of the directory is still held."""
        self.points = self.bursts = self.steps = self
        self.traffic = None
        self.local = LocalEngine(engine, commits.stages, commits.tally, self._call_on_closing)
        self._tasks = BackgroundTasks(loop)
        self._work = EngineWork(engine, loop, commits, self._tasks, reclaim_rate)
        commits.on_published = self._work.published
        self._deafness = Deafness(engine.options.clock.monotonic, self.call_later)
        self.deaf_seconds = self._deafness.listen

    # -- state --------------------------------------------------------------------------------------------------

    @property
    def failure(self) -> BrainctlError | None:
        """Return the error that stopped the store; None while it works."""
        return self.commits.failure

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
    def term(self) -> int:
        """Return 1: this process holds the lock of the directory, so no other writes."""
        return 1

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

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Backend.spawn`."""
        self._tasks.spawn(work)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """See `Backend.call_later`."""
        self._tasks.call_later(seconds, action)

    async def defragment(self) -> None:
        """See `Backend.defragment`. It reclaims everything that is garbage now, in steps.

        Raises:
            BrainctlError: Reading or writing failed; when the engine has failed, the backend stops too.
        """
        await self._work.defragment()

    def _call_on_closing(self, action: Callable[[], None]) -> None:
        """See `LocalEngine.on_closing`."""
        self._on_closing = action

    async def close(self) -> None:
        """See `Backend.close`. Afterwards another process can open the directory."""
        self._tasks.end_timers()
        await self.commits.finish()
        self._tasks.cancel()
        await self._tasks.wait()
        await self.commits.join()
        if self._on_closing is not None:
            self._on_closing()
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
