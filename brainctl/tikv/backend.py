"""Offer a store on TiKV as a backend of a node.

One process at a time writes: the holder of the lead (`leadership`), as `succession` decides. Any process reads, at a
timestamp of its own, and sees what is durable. A process that does not write follows the log of the one that does, so
that its watches deliver what happens there.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from brainctl.background_tasks import BackgroundTasks
from brainctl.errors import STOPPED, ApiError, BrainctlError, Fenced
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.log import Fact
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.deafness import Deafness
from brainctl.mvcc.header import Header
from brainctl.mvcc.point_get import point_response
from brainctl.mvcc.ranges import bounds
from brainctl.mvcc.steps import Steps
from brainctl.tikv.answers import answer_range, answer_reads
from brainctl.tikv.blocks import Blocks
from brainctl.tikv.client import Client, open_client
from brainctl.tikv.client.traffic import Traffic
from brainctl.tikv.commit_codec import Writes
from brainctl.tikv.counts import Counts
from brainctl.tikv.errors import RequestFailed, TikvFailed
from brainctl.tikv.group_commit import Reply, Write
from brainctl.tikv.holder import Holder, living_holder
from brainctl.tikv.instances import Instances
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.latest_view import LiveView
from brainctl.tikv.leadership import WRITER_LEASE_MS, Leadership
from brainctl.tikv.published_state import PublishedState
from brainctl.tikv.reads import Reads
from brainctl.tikv.reclaim import reclaim
from brainctl.tikv.safepoint import SafePoint
from brainctl.tikv.state_view import StateView
from brainctl.tikv.succession import Role, Succession
from brainctl.tikv.writer import Writer

T = TypeVar("T")
_log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
"""Seconds for which a close waits for writes, beyond the time after which they are answered as unknown."""


Admit = Callable[["TikvBackend"], Awaitable[None]]
"""Inspects a store that was loaded, and raises InvalidInput unless its lead may be taken."""


class Registration(NamedTuple):
    """Entry of an instance about itself, for the others that serve the store."""

    name: str
    peer_urls: tuple[str, ...] = ()
    lease_ms: int = WRITER_LEASE_MS
    """Milliseconds for which it keeps the lead while it is silent."""


class TikvBackend:
    """A `Backend` over TiKV; made by `open_backend`."""

    def __init__(
        self,
        client: Client,
        layout: Layout,
        role: Role,
        *,
        collects: bool = False,
        registration: Registration | None = None,
    ) -> None:
        """Create a backend of the store with this layout, which is not open yet.

        Args:
            client: of the cluster.
            layout: the keys of the store.
            role: when to take the lead.
            collects: whether to move TiKV's safe point as well, while this process leads.
            registration: for an instance that serves the store; None for a process that others need not know.
        """
        self._client = client
        self._layout = layout
        blocks = Blocks(layout)
        self._counts = Counts()
        self._reads = Reads(client, layout, blocks, self._counts)
        self._shown = PublishedState()
        lease_ms = registration.lease_ms if registration is not None else None
        lead = Leadership(client, layout, blocks, lease_ms, self._counts)
        self.writer = Writer(lead, self._shown, self._reads, on_demand=role is Role.ON_DEMAND)
        self.instances = (
            Instances(client, layout, registration.name, registration.peer_urls) if registration is not None else None
        )
        """The instances that serve the store, None in a process that is none of them."""
        self.secret = b""
        """Secret that only the instances know, 32 bytes; empty in a process that is none of them."""
        self._succession = Succession(role, layout, self.writer, self._shown, self._reads, self.instances)
        self._succession.load = self._load
        self._succession.on_lead = self._start_reclaim
        self._succession.fail = self._fail
        self._on_failure: Callable[[BrainctlError], None] | None = None
        self.view = LiveView(self._shown, self._reads)
        self.safe_point = SafePoint(client) if collects else None
        self.points = self
        self.bursts = self.steps = self.local = None
        """See `Backend`: what only a directory has."""
        self._gets: list[tuple[bytes, Reply]] = []
        """The gets of this turn of the event loop, which are answered together."""
        self._closed = False
        self._reclaimed = asyncio.Event()
        self._reclaimed.set()
        self._answers: set[asyncio.Task[None]] = set()
        self._tasks = BackgroundTasks(asyncio.get_running_loop())
        self._writing: asyncio.Task[None] | None = None
        self._deafness: Deafness | None = None

    async def open(self, admit: Admit | None = None) -> None:
        """Read the state, and take the lead if that is the role; raises also what `admit` raises.

        Raises:
            TikvFailed: TiKV does not answer.
            StoreDamaged: a value is not what the format says.
        """
        await self._load()
        self._shown.subscribe(self._counts.apply, self._counts.apply_steps)
        self._shown.on_hole = self._counts.begin
        if admit is not None:
            self._succession.admit = partial(admit, self)
            await admit(self)
        if self.instances is not None:
            self.writer.identify(self.instances.mine.id)
        await self._succession.begin()
        if self.instances is not None:
            self.secret = await self._shared_secret()
            self.spawn(self._succession.beat(self.instances))
        self.writer.identify()
        self._shown.subscribe(self._notice)
        self._deafness = Deafness(asyncio.get_running_loop().time, self.call_later)
        self._writing = asyncio.ensure_future(self.writer.run())
        self.spawn(self._succession.run())
        self._start_reclaim()
        if self.safe_point is not None:
            self.spawn(self.safe_point.run())
            if self.compacted:
                await self.safe_point.schedule()

    async def _load(self) -> None:
        await self._shown.load(await self._reads.state())
        self._counts.begin(self.revision)

    async def _shared_secret(self) -> bytes:
        """Return the secret of the instances; the leader makes it when there is none.

        Raises:
            Fenced: another process has taken the lead meanwhile.
            TikvFailed: TiKV does not answer.
        """
        key = self._layout.secret

        async def make(view: StateView) -> Writes:
            del view
            return {key: secrets.token_bytes(32)}

        while True:
            state = await self._reads.state()
            found = (await state.reader.get([key])).get(key)
            if found is not None:
                return found
            if self.writer.leads:
                await self.writer.edit(make, 0)
            else:
                await self._succession.follow_at_start()

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
    def on_failure(self) -> Callable[[BrainctlError], None] | None:
        """Return what is called when this process must not go on, for example because another one has the lead."""
        return self._on_failure

    @on_failure.setter
    def on_failure(self, action: Callable[[BrainctlError], None] | None) -> None:
        self._on_failure = self.writer.on_fenced = action

    def _fail(self, error: BrainctlError) -> None:
        _log.warning(Fact("this server cannot go on", error=error))
        if self._on_failure is not None:
            self._on_failure(error)

    @property
    def leads(self) -> bool:
        """Return whether this process is the one that writes, as far as it knows."""
        return self.writer.leads

    def now_seconds(self) -> float:
        """Return the time of the cluster's clock in seconds, which all instances read."""
        return self._reads.now_seconds()

    @property
    def term(self) -> int:
        """Return the number of the lead while nobody else can have taken it, otherwise 0; see `Backend`."""
        return self.writer.term

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

    async def _state(self, keys: Iterable[bytes] = ()) -> StateView:
        """Return the state at a timestamp after this call.

        An instance has then shown all that happened before, so that its small records are those of the state.
        """
        state = await self._reads.state(keys)
        self.writer.check(state.head)
        if self.instances is not None and not self.writer.leads:
            await self._succession.follow(state)
        return state

    async def follow(self) -> None:
        """Show all that other processes have made durable until now.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        await self._state()

    async def _range(self, request: pb.RangeRequest) -> bytes:
        start, end = bounds(request.key, request.range_end)
        state = await self._state([start] if end == start + b"\0" else [])
        return await answer_range(state, request, self.header(state.revision))

    def get(self, key: bytes, reply: Reply) -> None:
        """See `ReadsPoints`. The gets of one turn of the event loop are one piece of work."""
        if self._closed:
            reply(ApiError(STOPPED))
            return
        self._gets.append((key, reply))
        if len(self._gets) == 1:
            self._track(self._answer_gets())

    async def _answer_gets(self) -> None:
        gets, self._gets = self._gets, []
        found = await _outcome(self._found([key for key, _ in gets]))
        for at, (_, reply) in enumerate(gets):
            reply(found if isinstance(found, BrainctlError) else found[at])

    async def _found(self, keys: list[bytes]) -> list[bytes]:
        """Return the marshalled RangeResponse for each key."""
        state = await self._state(keys)
        header = self.header(state.revision)
        return [point_response(header, kv) for kv in await state.loaded(keys)]

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """Answer from the state at a timestamp not before this call."""
        self._answer(self._read(request), reply)

    async def _read(self, request: pb.TxnRequest) -> bytes:
        return await answer_reads(await self._state(), request, self.record, self.header)

    def _answer(self, work: Coroutine[Any, Any, bytes], reply: Reply) -> None:
        if self._closed:
            work.close()
            reply(ApiError(STOPPED))
            return
        self._track(_reply_with(work, reply))

    def _track(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin to answer requests; a close waits for that."""
        task = asyncio.ensure_future(work)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def submit(self, evaluate: Callable[[Batch, Any], bytes | Steps[bytes]], request: Message, reply: Reply) -> None:
        """Queue a write for the next group commit."""
        self.writer.submit(Write(evaluate, request, reply))

    def deaf_seconds(self) -> float:
        """See `Backend`."""
        return self._deafness.listen() if self._deafness is not None else 0.0

    def subscribe(
        self, observer: Callable[[Commit], None], steps: Callable[[Commit], Steps[None]] | None = None
    ) -> None:
        """See `Backend`."""
        self._shown.subscribe(observer, steps)

    def announce(self, endpoint: str, client_urls: Sequence[str]) -> None:
        """Record in the background where the store is served from now on.

        Args:
            endpoint: the address at which this process listens.
            client_urls: where clients and the other instances are told to find it.
        """
        if self.instances is not None:
            self.instances.announce(client_urls)
            self._succession.announce()
        self.spawn(self._announce(self._succession.describe_holder(endpoint)))

    async def _announce(self, holder: Holder) -> None:
        async def name_holder(view: StateView) -> Writes:
            del view
            return {self._layout.holder: holder.pack()}

        try:
            await self.writer.edit(name_holder, 0)
        except BrainctlError as error:
            _log.warning(Fact("the address of the server cannot be stored", error=error))

    # -- background -----------------------------------------------------------------------------------------------

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
                    await self.safe_point.schedule()
        except Fenced as error:
            self.writer.step_down(error)
        except TikvFailed as error:
            _log.warning(Fact("reclaim waits for the next compaction", error=error))
        finally:
            self._reclaimed.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Backend`."""
        self._tasks.spawn(work)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """See `Backend`."""
        self._tasks.call_later(seconds, action)

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
        self._tasks.end_timers()
        self.writer.finish()
        if self._writing is not None:
            await self._writing_ends(self._writing)
        await asyncio.gather(*self._answers)
        async with self.writer.busy:
            # The lock is held during a commit, so no task is cancelled in the middle of one.
            self._tasks.cancel()
        await self._tasks.wait()
        await self.writer.release()
        if self.instances is not None:
            with suppress(TikvFailed):
                await self.instances.leave()
        await self._client.close()

    async def _writing_ends(self, writing: "asyncio.Task[None]") -> None:
        """Wait until all writes are answered, up to CLOSE_SECONDS longer than a commit may take to be settled."""
        done, _ = await asyncio.wait({writing}, timeout=self.writer.settle_seconds + CLOSE_SECONDS)
        if not done:
            writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _reply_with(work: Coroutine[Any, Any, bytes], reply: Reply) -> None:
    """Pass the result of `work`, or its error, to `reply`."""
    reply(await _outcome(work))


async def _outcome(work: Coroutine[Any, Any, T]) -> T | BrainctlError:
    """Return the result of `work`, or the error to answer with."""
    try:
        return await work
    except TikvFailed as error:
        _log.warning(Fact("a request failed in TiKV", error=error))
        return RequestFailed(error)
    except BrainctlError as error:
        return error


async def open_backend(
    cluster: Client | Sequence[str],
    prefix: str,
    role: Role,
    *,
    collects: bool = False,
    admit: Admit | None = None,
    registration: Registration | None = None,
) -> TikvBackend:
    """Open the store under a prefix of a TiKV cluster; raises also what `admit` raises.

    Args:
        cluster: its client, which is closed with the backend, or the addresses of its Placement Driver.
        prefix: names joined by single slashes.
        role: when to take the lead.
        collects: whether to move TiKV's safe point while the store is open and this process leads.
        admit: called before the store is served, and each time before its lead is taken.
        registration: for an instance that serves the store; its role is not ON_DEMAND.

    Raises:
        InvalidInput: the prefix is not one.
        TikvFailed: TiKV does not answer.
        StoreDamaged: a value is not what the format says.
        StoreInUse: another living instance has the name of this one.
    """
    client = open_client(cluster) if isinstance(cluster, Sequence) else cluster
    backend = TikvBackend(client, Layout(prefix), role, collects=collects, registration=registration)
    try:
        await backend.open(admit)
    except BaseException:
        await client.close()
        raise
    return backend
