"""Commit the writes of one process in groups: those that arrive while a commit is under way form the next one."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from functools import partial

from brainctl.errors import (
    LEADER_CHANGED,
    NOT_LEADER,
    REQUEST_TOO_LARGE,
    STOPPED,
    TIMEOUT,
    ApiError,
    BrainctlError,
    Fenced,
    StoreFailed,
    StoreWentBack,
    UnknownOutcome,
)
from brainctl.log import Fact
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.header import Header
from brainctl.mvcc.steps import in_turns
from brainctl.mvcc.weight import LARGE_CHANGES
from brainctl.tikv import ahead
from brainctl.tikv.errors import Failure, RequestFailed, TikvFailed
from brainctl.tikv.group_commit import Evaluated, Write, evaluate_group, take_group
from brainctl.tikv.holder import Holder
from brainctl.tikv.leadership import Leadership, NotWritten, transaction_of, until_written
from brainctl.tikv.prefetched_view import PrefetchedView
from brainctl.tikv.published_state import PublishedState
from brainctl.tikv.reads import Reads
from brainctl.tikv.reclaim import Edit
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Head

_log = logging.getLogger(__name__)

IDENTITY = b"identity"
"""The small record with cluster id and member id, 8 bytes each, big endian."""
RAFT_TERM = 2
"""The raft_term of every response header."""
SETTLE_SECONDS = 15.0
"""Seconds after which a write whose outcome TiKV does not say is answered as unknown."""


class Writer:
    """A queue of writes, which are committed while this process holds the lead."""

    def __init__(self, lead: Leadership, shown: PublishedState, reads: Reads, *, on_demand: bool = False) -> None:
        """Create a writer.

        Args:
            lead: the right to write, which is not taken yet.
            shown: the state that this process has shown, which every commit is added to.
            reads: the newest state in TiKV.
            on_demand: whether the first write takes the lead; without it writes are refused while it is not held.
        """
        self.leads = False
        """Whether this process holds the lead, as far as it knows."""
        self.lost = asyncio.Event()
        """Set while it does not."""
        self.fenced: Fenced | None = None
        """Why this process will never write again; None while it may."""
        self.returns = False
        """Whether losing the lead to another process is no reason to stop: this one may get it back later."""
        self.on_fenced: Callable[[Fenced], None] | None = None
        """Called once, when this process must never write again."""
        self.header = Header(0, 0, RAFT_TERM)
        self._member = 0
        self.settle_seconds = SETTLE_SECONDS
        self.busy = asyncio.Lock()
        """Held while a commit is under way."""
        self._lead = lead
        self._shown = shown
        self._reads = reads
        self._on_demand = on_demand
        self._queue: list[Write] = []
        self._arrived = asyncio.Event()
        self._unsettled = False
        """Whether a commit was answered as unknown and TiKV has still not said whether it happened."""
        self._closed = False

    def submit(self, write: Write) -> None:
        """Queue a write, or answer it with an error when it cannot be written now."""
        if self._closed:
            write.answer(ApiError(STOPPED))
        elif self.fenced is not None:
            write.answer(self.fenced)
        elif not (self.leads or self._on_demand):
            write.answer(ApiError(NOT_LEADER))
        elif self._unsettled:
            write.answer(ApiError(TIMEOUT))
        elif write.too_large:
            write.answer(ApiError(REQUEST_TOO_LARGE))
        else:
            self._queue.append(write)
            self._arrived.set()

    async def run(self) -> None:
        """Commit what is queued, until `finish`."""
        while not self._closed or self._queue:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                group = take_group(self._queue)
                try:
                    async with self.busy:
                        await self._write(group)
                except Exception as error:  # noqa: BLE001 - whatever went wrong, the waiting clients get an answer
                    self._refuse(group, error)

    def finish(self) -> None:
        """Take no more writes, and end `run` when those that wait are done."""
        self._closed = True
        self._arrived.set()

    # -- the lead -------------------------------------------------------------------------------------------------

    @property
    def term(self) -> int:
        """Return the number of the lead while nobody else can have taken it; otherwise 0."""
        return self._lead.head.epoch if self.leads and self._lead.is_kept else 0

    @property
    def lease_seconds(self) -> float:
        """Return the seconds for which this process keeps the lead while it is silent."""
        return self._lead.lease_ms / 1000

    @property
    def epoch(self) -> int:
        """Return the epoch of the lead that this process took last, 0 when it never did."""
        return self._lead.head.epoch

    async def acquire(self, *, force: bool = False, admitted: int | None = None) -> bool:
        """Take the lead, and give the store its ids if it is new.

        Args:
            force: take the lead also while its holder has it: that one is known to be dead.
            admitted: the epoch of the state that was looked at before; None takes the lead of whatever is there.

        Returns:
            False when another process has taken the lead since the epoch `admitted`: nothing was written.

        Raises:
            StoreInUse: without `force`, while a living process holds the lead.
            TikvFailed: TiKV does not answer.
        """
        if not await self._lead.acquire(force=force, admitted=admitted):
            return False
        await self._shown.catch_up(await self._reads.state())
        self.leads = True
        self.lost.clear()
        if IDENTITY not in self._shown.records:
            ids = b"".join((secrets.randbits(63) | 1).to_bytes(8) for _ in range(2))
            await self._commit_records({IDENTITY: ids})
        self.identify()
        return True

    def name_holder(self, holder: Holder) -> None:
        """Set what the next take-over writes about this process."""
        self._lead.holder = holder.pack()

    def identify(self, member: int = 0) -> None:
        """Take the ids of the cluster and, unless `member` is one, of this member from the store."""
        ids = self._shown.records.get(IDENTITY, bytes(16))
        self._member = member or self._member
        self.header = Header(int.from_bytes(ids[:8]), self._member or int.from_bytes(ids[8:]), RAFT_TERM)

    async def release(self) -> None:
        """Release the lead, so that others can take it at once. Where that fails, it expires by itself."""
        async with self.busy:
            if not self.leads:
                await self._lead.close()
                return
            self._lose()
            try:
                await self._lead.release()
            except BrainctlError as error:
                _log.warning(
                    Fact("the lead is not released, and expires", seconds=self._lead.lease_ms / 1000, error=error)
                )

    def _lose(self) -> None:
        self.leads = False
        self.lost.set()

    def check(self, head: Head) -> None:
        """Look at a head that was read, and step down if it is of another leader."""
        if self.leads and head.epoch > self.epoch:
            self.step_down(self._lead.lost_to(head))

    def step_down(self, error: Fenced) -> None:
        """Stop writing, because another process does, and refuse what is queued; for good unless this one `returns`."""
        if self.fenced is not None:
            return
        _log.warning(Fact("another process has taken the lead", error=error))
        self._lose()
        if self.returns and not isinstance(error, StoreWentBack):
            self._refuse_queue(ApiError(LEADER_CHANGED))
            return
        self.fenced = error
        self._refuse_queue(error)
        if self.on_fenced is not None:
            self.on_fenced(error)

    # -- commits --------------------------------------------------------------------------------------------------

    async def edit(self, edit: Edit, reclaimed: int) -> None:
        """Make a commit of the store's own, between two groups; does nothing without the lead. On return it is durable.

        Args:
            edit: returns the writes.
            reclaimed: the new `reclaimed` revision of the head; 0 leaves it.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: nothing was written.
        """
        async with self.busy:
            if not self.leads:
                return
            view = await ahead.begin(self._lead)
            try:
                writes = await edit(view)
                head = await self._lead.next_head(reclaimed=reclaimed or view.head.reclaimed)
                await self._lead.commit(transaction_of(view), writes, head)
            finally:
                await transaction_of(view).rollback()
            self._shown.head = head

    async def _commit_records(self, records: dict[bytes, bytes]) -> None:
        view = await ahead.begin(self._lead)
        try:
            evaluated = Evaluated([], [], Commit(view.revision, meta=dict(records)), PrefetchedView(view))
            await self._commit(view, evaluated)
        finally:
            await transaction_of(view).rollback()

    async def _write(self, group: list[Write]) -> None:
        if not self.leads:
            if not self._on_demand:
                raise ApiError(LEADER_CHANGED)
            await self.acquire()
        evaluated = await until_written(partial(self._try_write, group))
        self._queue[:0] = group[len(evaluated.writes) :]
        for write, answer in zip(evaluated.writes, evaluated.answers, strict=True):
            write.answer(answer)
        if len(evaluated.commit.changes) > LARGE_CHANGES:
            await in_turns(evaluated.release(), partial(asyncio.sleep, 0))

    async def _try_write(self, group: list[Write]) -> Evaluated:
        """Evaluate and commit a group, or its first part.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: nothing was written.
            StoreFailed: nothing was written, and the group has been answered with an unknown outcome.
        """
        view = await ahead.begin(self._lead)
        try:
            evaluated = await evaluate_group(group, view, self._shown.records.get, self.header)
            await self._commit(view, evaluated)
        except NotWritten as error:
            if group[0].answered:
                # The clients have received an unknown outcome, and may have repeated their requests: no new attempt.
                raise StoreFailed(str(error)).advised("start the server again") from error
            raise
        finally:
            await transaction_of(view).rollback()
        return evaluated

    async def _commit(self, view: StateView, evaluated: Evaluated) -> None:
        """Make the commit of a group durable, then visible to readers and watchers.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: nothing was written.
        """
        commit = evaluated.commit
        if not (commit.changes or commit.meta or commit.compact):
            return
        prepared = await ahead.prepare(self._lead, view, commit, evaluated.loaded.newest)
        based = prepared.view
        try:
            head = await self._lead.next_head(
                revision=commit.revision,
                compacted=max(commit.compact, based.compacted),
                records=based.head.sequence + 1 if commit.meta else based.head.records,
                ahead=0,
            )
            task = asyncio.ensure_future(self._lead.commit(transaction_of(based), prepared.writes, head))
            done, _ = await asyncio.wait({task}, timeout=self.settle_seconds)
            if not done:
                self._give_up_waiting(evaluated.writes)
            try:
                await task
            finally:
                self._unsettled = False
        finally:
            await transaction_of(based).rollback()
        for place, value in prepared.blocks.items():
            self._lead.blocks.add(place, value)
        await self._shown.show(commit, head)

    def _give_up_waiting(self, writes: list[Write]) -> None:
        """Answer a group with an unknown outcome, since TiKV has not confirmed its commit, and refuse writes until it
        has.
        """
        self._unsettled = True
        for write in writes:
            write.answer(
                UnknownOutcome(
                    f"TiKV did not say within {self.settle_seconds:g} s whether the write happened: read the key to see"
                )
            )
        self._refuse_queue(ApiError(TIMEOUT))

    def _refuse_queue(self, error: BrainctlError) -> None:
        waiting, self._queue = self._queue, []
        for write in waiting:
            write.answer(error)

    def _refuse(self, group: list[Write], error: Exception) -> None:
        """Answer a group that was not written."""
        answer: BrainctlError
        if isinstance(error, Fenced):
            self.step_down(error)
            answer = self.fenced or ApiError(LEADER_CHANGED)
        elif isinstance(error, TikvFailed):
            _log.warning(Fact("a group of writes failed in TiKV", error=error))
            answer = ApiError(REQUEST_TOO_LARGE) if error.failure is Failure.TOO_LARGE else RequestFailed(error)
        elif isinstance(error, BrainctlError):
            answer = error
        else:
            _log.error(Fact("a group of writes failed"), exc_info=error)
            answer = ApiError(STOPPED)
        for write in group:
            write.answer(answer)
