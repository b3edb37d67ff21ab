"""Offer a store on TiKV as a backend of a node.

One process at a time writes: the holder of the lead (`leadership`). Any process reads, at a timestamp of its own, and
sees what is durable. A process that does not write follows the log of the one that does, so that its watches deliver
what happens there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum
from typing import Any

from google.protobuf.message import Message

from brainctl.errors import STOPPED, ApiError, BrainctlError, Fenced
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.log import Fact
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.deafness import Deafness
from brainctl.mvcc.header import Header
from brainctl.mvcc.ranges import bounds
from brainctl.mvcc.steps import Steps
from brainctl.tikv.answers import answer_range, answer_reads
from brainctl.tikv.blocks import Blocks
from brainctl.tikv.client import Client
from brainctl.tikv.commit_codec import Writes
from brainctl.tikv.counts import Counts
from brainctl.tikv.errors import RequestFailed, TikvFailed
from brainctl.tikv.group_commit import Reply, Write
from brainctl.tikv.holder import Holder, living_holder
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.latest_view import LiveView
from brainctl.tikv.leadership import HEARTBEAT_SECONDS, Leadership
from brainctl.tikv.published_state import PublishedState
from brainctl.tikv.reads import Reads
from brainctl.tikv.reclaim import reclaim
from brainctl.tikv.safepoint import SafePoint
from brainctl.tikv.state_view import StateView
from brainctl.tikv.traffic import Traffic
from brainctl.tikv.writer import Writer

_log = logging.getLogger(__name__)

FOLLOW_SECONDS = 0.05
"""Seconds between two looks of a process that does not write at what another wrote."""


CLOSE_SECONDS = 10.0
"""Seconds for which a close waits for writes, beyond the time after which they are answered as unknown."""


class Role(Enum):
    """When a process takes the lead; the values are explanations."""

    LEADER = "takes the lead when it opens the store, and fences whoever had it"
    ON_DEMAND = "takes the lead with its first write, unless a living process holds it"
    FOLLOWER = "never writes"


Admit = Callable[["TikvBackend"], Awaitable[None]]
"""Inspects a store that was loaded, and raises unless its lead may be taken."""


class TikvBackend:
    """A `Backend` over TiKV; made by `open_backend`."""

    def __init__(self, client: Client, layout: Layout, role: Role, *, collects: bool = False) -> None:
        """Create a backend of the store with this layout, which is not open yet.

        Args:
            client: of the cluster.
            layout: the keys of the store.
            role: when to take the lead.
            collects: whether to move TiKV's safe point as well, while this process leads.
        """
        self._client = client
        self._layout = layout
        self._role = role
        blocks = Blocks(layout)
        self._counts = Counts()
        self._reads = Reads(client, layout, blocks, self._counts)
        self._shown = PublishedState()
        self.writer = Writer(Leadership(client, layout, blocks), self._shown, self._reads)
        self.view = LiveView(self._shown, self._reads)
        self.safe_point = SafePoint(client) if collects else None
        self._closed = False
        self._reclaimed = asyncio.Event()
        self._reclaimed.set()
        self._answers: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._writing: asyncio.Task[None] | None = None
        self._deafness: Deafness | None = None

    async def open(self, admit: Admit | None = None) -> None:
        """Read the state, and take the lead if that is the role; raises also what `admit` raises.

        Raises:
            TikvFailed: TiKV does not answer.
            StoreDamaged: a value is not what the format says.
        """
        await self._load()
        self._shown.observers.append(self._counts.take)
        self._shown.on_hole = self._counts.begin
        if self._role is Role.LEADER:
            await self._take_lead(admit)
        self.writer.identify()
        self._shown.observers.append(self._notice)
        self._deafness = Deafness(asyncio.get_running_loop().time, self.call_later)
        self._writing = asyncio.ensure_future(self.writer.run())
        self.spawn(self._keep_up())
        self._start_reclaim()
        if self.safe_point is not None:
            self.spawn(self.safe_point.run())
            if self.compacted:
                await self.safe_point.note()

    async def _load(self) -> None:
        await self._shown.load(await self._reads.state())
        self._counts.begin(self.revision)

    async def _take_lead(self, admit: Admit | None) -> None:
        """Take the lead of a state that was admitted: what another process made of it meanwhile is looked at too."""
        self.writer.note(Holder.here("serve"))
        if admit is None:
            await self.writer.acquire(force=True)
            return
        await admit(self)
        while not await self.writer.acquire(force=True, admitted=self._shown.head.epoch):
            await self._load()
            await admit(self)

    # -- state ----------------------------------------------------------------------------------------------------

    @property
    def header(self) -> Header:
        """Return the maker of response headers, see `Backend`. The ids are 0 in a store that was never written."""
        return self.writer.header

    @property
    def is_new(self) -> bool:
        """Return whether no process has ever taken the lead of this store, which every write needs."""
        return self._shown.head.epoch == 0

    @property
    def revision(self) -> int:
        """Return the newest durable revision that this process has shown."""
        return self._shown.head.revision

    @property
    def compacted(self) -> int:
        """Return the compacted revision."""
        return self._shown.head.compacted

    @property
    def size(self) -> int:
        """Return 0: TiKV does not report how many bytes a range of keys takes up."""
        return 0

    @property
    def size_in_use(self) -> int:
        """Return 0, as `size`."""
        return 0

    @property
    def traffic(self) -> Traffic:
        """Return the counts of what this process has asked of TiKV."""
        return self._client.traffic

    @property
    def failure(self) -> BrainctlError | None:
        """Return why this process does not write any more, None while it may."""
        return self.writer.fenced

    @property
    def on_failure(self) -> Callable[[Fenced], None] | None:
        """Return what is called once, when another process has taken the lead."""
        return self.writer.on_fenced

    @on_failure.setter
    def on_failure(self, action: Callable[[Fenced], None] | None) -> None:
        self.writer.on_fenced = action

    @property
    def leads(self) -> bool:
        """Return whether this process is the one that writes, as far as it knows."""
        return self.writer.leads

    def record(self, name: bytes) -> bytes | None:
        """Return a small record by its name, None without one."""
        return self._shown.records.get(name)

    def records(self, prefix: bytes) -> dict[bytes, bytes]:
        """Return the small records whose names begin with a prefix."""
        return {name: value for name, value in self._shown.records.items() if name.startswith(prefix)}

    # -- requests -------------------------------------------------------------------------------------------------

    def range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """Answer from the state at a timestamp not before this call."""
        self._answer(self._range(request), reply)

    async def _range(self, request: pb.RangeRequest) -> bytes:
        start, end = bounds(request.key, request.range_end)
        state = await self._reads.state([start] if end == start + b"\0" else [])
        return await answer_range(state, request, self.header(state.revision))

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """Answer from the state at a timestamp not before this call."""
        self._answer(self._read(request), reply)

    async def _read(self, request: pb.TxnRequest) -> bytes:
        return await answer_reads(await self._reads.state(), request, self.record, self.header)

    def _answer(self, work: Coroutine[Any, Any, bytes], reply: Reply) -> None:
        if self._closed:
            work.close()
            reply(ApiError(STOPPED))
            return
        task = asyncio.ensure_future(_reply_with(work, reply))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def submit(self, evaluate: Callable[[Batch, Any], bytes | Steps[bytes]], request: Message, reply: Reply) -> None:
        """Queue a write for the next group commit."""
        if self._role is Role.FOLLOWER:
            reply(Fenced("this process only reads the store on TiKV: send writes to the one that leads"))
        else:
            self.writer.submit(Write(evaluate, request, reply))

    def deaf_seconds(self) -> float:
        """See `Backend`."""
        return self._deafness.listen() if self._deafness is not None else 0.0

    def subscribe(
        self, observer: Callable[[Commit], None], steps: Callable[[Commit], Steps[None]] | None = None
    ) -> None:
        """See `Backend`."""
        del steps
        self._shown.observers.append(observer)

    def announce(self, endpoint: str) -> None:
        """Record in the background at which endpoint the store is served from now on."""
        self.spawn(self._announce(Holder.here("serve", endpoint)))

    async def _announce(self, holder: Holder) -> None:
        async def note(view: StateView) -> Writes:
            del view
            return {self._layout.holder: holder.pack()}

        self.writer.note(holder)
        try:
            await self.writer.edit(note, 0)
        except BrainctlError as error:
            _log.warning(Fact("the address of the server cannot be stored", error=error))

    # -- background -----------------------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        """Renew the lead from time to time as the leader; otherwise follow the process that leads."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS if self.writer.leads else FOLLOW_SECONDS)
            try:
                if self.writer.leads:
                    await self.writer.edit(_nothing, 0)
                else:
                    async with self.writer.busy:
                        await self._shown.catch_up(await self._reads.state())
            except Fenced as error:
                self.writer.step_down(error)
            except BrainctlError as error:
                _log.warning(Fact("following the store is tried again", error=error))

    def _notice(self, commit: Commit) -> None:
        if commit.compact:
            self._start_reclaim()

    def _start_reclaim(self) -> None:
        if self.writer.leads and self._reclaimed.is_set():
            self._reclaimed.clear()
            self.spawn(self._reclaim())

    async def _reclaim(self) -> None:
        try:
            while self.writer.leads and self._shown.head.reclaimed < self._shown.head.compacted:
                await reclaim(await self._reads.state(), self.writer.edit)
                if self.safe_point is not None:
                    await self.safe_point.note()
        except Fenced as error:
            self.writer.step_down(error)
        except TikvFailed as error:
            _log.warning(Fact("reclaim waits for the next compaction", error=error))
        finally:
            self._reclaimed.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Backend`."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """See `Backend`."""
        if self._closed:
            return

        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(handle)

    async def living_holder(self, *roles: str) -> Holder | None:
        """Return the process that leads this store, if it lives and has one of these roles; otherwise None.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        return await living_holder(self._client, self._layout, *roles)

    async def defragment(self) -> None:
        """Wait until the garbage of compactions is removed; TiKV frees the space by itself."""
        await self._reclaimed.wait()

    async def close(self) -> None:
        """Finish what is queued, release the lead, and close the connection."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()
        self.writer.finish()
        if self._writing is not None:
            await self._writing_ends(self._writing)
        await asyncio.gather(*self._answers)
        async with self.writer.busy:
            # The lock is held during a commit, so no task is cancelled in the middle of one.
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.writer.release()
        await self._client.close()

    async def _writing_ends(self, writing: "asyncio.Task[None]") -> None:
        """Wait until all writes are answered, up to CLOSE_SECONDS longer than a commit may take to be settled."""
        done, _ = await asyncio.wait({writing}, timeout=self.writer.settle_seconds + CLOSE_SECONDS)
        if not done:
            writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _nothing(_: StateView) -> Writes:
    """Return no writes: the commit only renews the lead."""
    return {}


async def _reply_with(work: Coroutine[Any, Any, bytes], reply: Reply) -> None:
    """Pass the result of `work`, or its error, to `reply`."""
    try:
        answer: bytes | BrainctlError = await work
    except TikvFailed as error:
        _log.warning(Fact("a request failed in TiKV", error=error))
        answer = RequestFailed(error)
    except BrainctlError as error:
        answer = error
    reply(answer)


async def open_backend(
    endpoints: Sequence[str], prefix: str, role: Role, *, collects: bool = False, admit: Admit | None = None
) -> TikvBackend:
    """Open the store under a prefix of a TiKV cluster; raises also what `admit` raises.

    Args:
        endpoints: the addresses of the Placement Driver, each "host:port".
        prefix: names joined by single slashes.
        role: when to take the lead.
        collects: whether to move TiKV's safe point while the store is open and this process leads.
        admit: called by a leader before it takes the lead.

    Raises:
        InvalidInput: the prefix is not one.
        TikvFailed: TiKV does not answer.
        StoreDamaged: a value is not what the format says.
    """
    client = Client(endpoints)
    backend = TikvBackend(client, Layout(prefix), role, collects=collects)
    try:
        await backend.open(admit)
    except BaseException:
        await client.close()
        raise
    return backend
