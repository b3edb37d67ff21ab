"""Decide which process may write to a store on TiKV, and move the head of the store.

Every commit of the writer reads the head, checks that it is the one that this writer wrote last, and rewrites it in the
same transaction; so of two writers at most one can commit, and the other finds out with its next commit. A take-over
raises the epoch in the head. A commit whose outcome the client does not know is settled by reading the head back: it
carries the number of the last commit. Where a later writer has already taken over, the record of its take-over says
which commit of the epoch before was the last.

No commit counts before it was read back, at the beginning of the next transaction. Our own client commits all keys or
none, so that the head, or the key of a lane, stands for all. The `tikv-client` package may answer that a transaction
was committed of which it sent nothing, or only some of the requests into which it divides the keys, while the Placement
Driver knows a region and not its leader. So with it all keys are read back, and what was written in part is written
again, with the same bytes, before anything else is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from brainctl.errors import Fenced, StoreInUse, StoreWentBack
from brainctl.tikv.blocks import Blocks
from brainctl.tikv.client import PATIENCE, PAUSE, Client, Transaction
from brainctl.tikv.counts import Counts
from brainctl.tikv.errors import Failure, TikvFailed
from brainctl.tikv.key_codec import LANES, Layout
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Head

Result = TypeVar("Result")
Writes = Mapping[bytes, bytes | None]
"""Values by key; None removes the key."""

WRITER_LEASE_MS = 5_000
"""Milliseconds after its last renewal for which a silent writer keeps the lead against those who wait for it."""
HEARTBEAT_SECONDS = 1.0
"""Seconds without writes after which a writer commits nothing but a new `expires`, as a sign of life."""
RENEW_SECONDS = 1.0
"""Seconds after which a commit of the writer renews its lead."""
RENEW_SHARE = 0.2
"""The share of a shorter lease after which it is renewed, or a sign of life is given."""
COMMIT_SECONDS = 10.0
"""Seconds to wait for the answer to a commit before its outcome is settled over another connection."""
KEPT_EPOCHS = 64
"""The number of take-overs whose records are kept."""
FRESH_SECONDS = 1.0
"""Seconds for which a transaction that was begun beforehand is used. TiKV counts the life of a transaction's locks from
its beginning, so those of an old one would soon count as left by a dead process.
"""
UNSENT = "a write was reported as made and is not there: no server leads some of its keys"
"""The cause of a commit that was answered as done and is not there when it is read back."""


class NotWritten(TikvFailed):
    """A commit failed, and it is certain that it wrote nothing."""

    @classmethod
    def of(cls, failed: TikvFailed) -> "NotWritten":
        """Return the error for a failure after which nothing was written."""
        return cls(failed.failure, failed.sentence, failed.where, failed.raw, "nothing was written")


class Leadership:
    """The right of one process to write to a store. It makes one commit at a time."""

    def __init__(
        self,
        client: Client,
        layout: Layout,
        blocks: Blocks,
        lease_ms: int | None = None,
        counts: Counts | None = None,
    ) -> None:
        """Create it without the lead.

        Args:
            client: of the cluster.
            layout: the keys of the store.
            blocks: a cache of the log.
            lease_ms: how long it is kept by a silent writer; None for WRITER_LEASE_MS.
            counts: counts of the store's keys, which writes use and add to.
        """
        self.client = client
        self.lease_ms = WRITER_LEASE_MS if lease_ms is None else lease_ms
        self.layout = layout
        self.blocks = blocks
        self._counts = counts
        self.head = Head()
        self.holder: bytes | None = None
        """Entry about this process that a take-over writes, packed (`holder`); None for none."""
        self._renewed = float("-inf")
        self._kept_until = float("-inf")
        """The time of the event loop until which nobody else can have taken the lead: its lease runs out later."""
        self._begun: tuple[float, StateView] | None = None
        """Transaction that was begun to read a commit back, with its time and state: the next commit uses it."""
        self._stale: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._chunks = 0

    async def acquire(self, *, force: bool, admitted: int | None = None) -> bool:
        """Take the lead, so that its last holder is fenced.

        Args:
            force: take it also while a living writer holds it.
            admitted: the epoch of the state that was looked at before; None takes the lead of whatever is there.

        Returns:
            False when another process has taken the lead since the epoch `admitted`: nothing was written.

        Raises:
            StoreInUse: without `force`, while a living writer holds the lead.
            TikvFailed: TiKV cannot be reached.
        """
        while True:
            # With a lock: an optimistic transaction would lose every race against a busy writer.
            transaction = await self.client.begin(locking=True)
            try:
                old = Head.unpack(await transaction.get_locked(self.layout.head))
                if admitted is not None and old.epoch != admitted:
                    return False
                asked = asyncio.get_running_loop().time()
                now = await self._now()
                if old.expires > now and not force:
                    raise StoreInUse(
                        f"another process writes to {self.place}: stop it, or reach the store through it (--endpoints)"
                    )
                head = old._replace(epoch=old.epoch + 1, sequence=old.sequence + 1, expires=now + self.lease_ms)
                writes = self._take_over(old, head)
                await transaction.commit(writes)
            except TikvFailed as error:
                if error.failure in (Failure.UNAVAILABLE, Failure.TOO_LARGE):
                    raise
                # Whether or not it happened, a take-over can be repeated: it only has to be the last one.
                await asyncio.sleep(PAUSE)
            else:
                if await self._took_over(head, writes):
                    self.head = head
                    self._renewed, self._kept_until = asked, asked + self.lease_ms / 1000
                    return True
            finally:
                await transaction.rollback()

    async def _took_over(self, head: Head, writes: Writes) -> bool:
        """Return whether a take-over that was answered as committed happened, even if another one has come after it."""
        try:
            values = await self._read([*writes])
        except TikvFailed:
            return False
        return Head.unpack(values.get(self.layout.head)).epoch > head.epoch or not missing(writes, values)

    async def _read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        snapshot = await self.client.snapshot(await self.client.timestamp())
        return await snapshot.get(keys)

    def _take_over(self, old: Head, head: Head) -> dict[bytes, bytes | None]:
        layout = self.layout
        writes: dict[bytes, bytes | None] = {layout.lane(number): head.epoch.to_bytes(8) for number in range(LANES)}
        writes[layout.head] = head.pack()
        writes[layout.holder] = self.holder
        writes[layout.epoch(head.epoch)] = old.sequence.to_bytes(8)
        if head.epoch > KEPT_EPOCHS:
            writes[layout.epoch(head.epoch - KEPT_EPOCHS)] = None
        return writes

    async def begin(self) -> StateView:
        """Return the state to base a commit on; its reader is the transaction to write it with.

        Raises:
            Fenced: the head is not the one that this writer wrote last.
            TikvFailed: TiKV does not answer.
        """
        begun, self._begun = self._begun, None
        if begun is not None:
            if asyncio.get_running_loop().time() - begun[0] < FRESH_SECONDS and begun[1].head == self.head:
                return begun[1]
            await transaction_of(begun[1]).rollback()
        return await self._begin(self.head)

    async def _begin(self, expected: Head) -> StateView:
        transaction = await self.client.begin()
        try:
            values = await transaction.get([self.layout.head])
            head = Head.unpack(values.get(self.layout.head))
        except BaseException:
            await transaction.rollback()
            raise
        if head != expected:
            await transaction.rollback()
            raise self._lost(head, expected)
        return StateView(self.layout, transaction, head, self.blocks, counts=self._counts)

    async def check_lane(self, number: int) -> Transaction:
        """Begin a bulk transaction, which conflicts with every take-over once it writes the key of the lane.

        Any number of lanes can be in flight, and the head stays as it is: what they write must mean nothing without a
        later commit of the head.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: TiKV does not answer.
        """
        transaction = await self.client.begin()
        lane = self.layout.lane(number)
        try:
            values = await transaction.get([lane])
        except BaseException:
            await transaction.rollback()
            raise
        epoch = int.from_bytes(values.get(lane, b"")[:8])
        if epoch != self.head.epoch:
            await transaction.rollback()
            raise self._lost(self.head._replace(epoch=epoch), self.head)
        return transaction

    async def commit_lane(self, number: int, transaction: Transaction, writes: Writes) -> None:
        """Commit a transaction of `check_lane`, and read it back; on return it is durable.

        Raises:
            TikvFailed: it may have happened, or may yet.
        """
        self._chunks += 1
        lane, mark = self.layout.lane(number), self.head.epoch.to_bytes(8) + self._chunks.to_bytes(8)
        writes = {**writes, lane: mark}
        await transaction.commit(writes)
        expected = self._expected(writes, lane)
        if missing(expected, await self._read([*expected])):
            raise TikvFailed(Failure.UNAVAILABLE, UNSENT, self.client.where)

    @property
    def is_kept(self) -> bool:
        """Return whether no other process can have taken the lead yet without force.

        The lease in the store ends later than this, since its time was requested after that of the event loop.
        """
        return asyncio.get_running_loop().time() < self._kept_until

    @property
    def renewal_is_due(self) -> bool:
        """Return whether the lead has to be renewed by a commit."""
        after = min(RENEW_SECONDS, self.lease_ms * RENEW_SHARE / 1000)
        return asyncio.get_running_loop().time() > self._renewed + after

    async def next_head(self, **changes: int) -> Head:
        """Return the head that the next commit is to write; it renews the lead when that is due.

        Args:
            **changes: fields of the head with new values.

        Raises:
            TikvFailed: the renewal needs a timestamp, and the Placement Driver does not answer.
        """
        expires = self.head.expires
        if self.renewal_is_due:
            self._renewed = asyncio.get_running_loop().time()
            expires = await self._now() + self.lease_ms
        return self.head._replace(sequence=self.head.sequence + 1, expires=expires, **changes)

    async def commit(self, transaction: Transaction, writes: Writes, head: Head) -> None:
        """Make writes durable together with the new head. While TiKV cannot say whether they are, this waits.

        Raises:
            NotWritten: they are not durable and never will be.
            Fenced: another writer took over first.
        """
        writes = {**writes, self.layout.head: head.pack()}
        commit = asyncio.ensure_future(transaction.commit(writes))
        done, _ = await asyncio.wait({commit}, timeout=COMMIT_SECONDS)
        if not done:
            commit.add_done_callback(_ignore)
            transaction.abandon()
            if not await self._rule_out(head):
                silent = TikvFailed(Failure.UNAVAILABLE, "no answer in time", self.client.where)
                raise NotWritten.of(silent)
        elif error := commit.exception():
            if not isinstance(error, TikvFailed):
                raise error
            if not await self._happened(head):
                raise NotWritten.of(error) from error
        if not await self._read_back(writes, head):
            raise NotWritten(Failure.UNAVAILABLE, UNSENT, self.client.where)
        if head.expires > self.head.expires:
            self._kept_until = self._renewed + self.lease_ms / 1000
        self.head = head

    async def _read_back(self, writes: Writes, head: Head) -> bool:
        """Return whether a commit that may count as done is there, and write it again where a part of it is not.

        The transaction that finds all of it is kept for the next commit.

        Raises:
            Fenced: as in `_happened`.
        """
        expected = self._expected(writes, self.layout.head)
        while True:
            try:
                transaction = await self.client.begin()
                try:
                    values = await transaction.get([*expected])
                    found = Head.unpack(values.get(self.layout.head))
                    if found not in (head, self.head):
                        return await self._happened(head)
                    if not missing(expected, values):
                        self._keep(StateView(self.layout, transaction, head, self.blocks, counts=self._counts))
                        return True
                    if not any(value is not None and values.get(key) == value for key, value in expected.items()):
                        return False
                    await transaction.commit(writes)
                finally:
                    if self._begun is None:
                        await transaction.rollback()
            except TikvFailed:
                await asyncio.sleep(PAUSE)

    def _expected(self, writes: Writes, key: bytes) -> Writes:
        """Return those of a commit's writes that have to be read back: `key` alone, which is one of them, where the
        client makes all of a commit or nothing.
        """
        return writes if self.client.commits_in_part else {key: writes[key]}

    def _keep(self, view: StateView) -> None:
        """Keep a transaction that was begun for the next commit, for a while."""
        loop = asyncio.get_running_loop()
        self._begun = loop.time(), view
        if self._stale is not None:
            self._stale.cancel()
        self._stale = loop.call_later(FRESH_SECONDS, self._roll_back)

    def _roll_back(self) -> None:
        """Roll back a transaction that no commit used: the package complains about one that is never ended."""
        task = asyncio.ensure_future(self.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def release(self) -> None:
        """Release the lead, so that others can take it without waiting.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: TiKV does not answer.
        """
        try:
            await self._try_release()
        except NotWritten:
            await self._try_release()
        finally:
            await self.close()

    async def _try_release(self) -> None:
        view = await self.begin()
        try:
            head = self.head._replace(sequence=self.head.sequence + 1, expires=0)
            self._kept_until = float("-inf")
            await self.commit(transaction_of(view), {}, head)
        finally:
            await transaction_of(view).rollback()

    async def close(self) -> None:
        """Roll back the transaction that was begun beforehand, if there is one."""
        if self._stale is not None:
            self._stale.cancel()
        begun, self._begun = self._begun, None
        if begun is not None:
            await transaction_of(begun[1]).rollback()

    async def _happened(self, tried: Head) -> bool:
        """Return whether the commit that was to write this head happened.

        Raises:
            Fenced: it did not, and another writer leads.
            StoreWentBack: the head is older than what TiKV had acknowledged.
        """
        layout = self.layout
        heir = layout.epoch(tried.epoch + 1)
        while True:
            try:
                snapshot = await self.client.snapshot(await self.client.timestamp())
                # This read waits for the locks of the commit, or ends them: afterwards the commit is decided.
                values = await snapshot.get([layout.head, heir])
            except TikvFailed:
                await asyncio.sleep(PAUSE)
                continue
            head = Head.unpack(values.get(layout.head))
            if head.epoch < tried.epoch or (head.epoch == tried.epoch and head.sequence < self.head.sequence):
                raise self._lost(head, self.head)
            if head.epoch == tried.epoch:
                return head.sequence == tried.sequence
            if int.from_bytes(values.get(heir, b"")) == tried.sequence:
                return True
            raise self._lost(head, tried)

    async def _rule_out(self, tried: Head) -> bool:
        """Return whether a commit that is still under way happened, and otherwise make sure that it never will.

        For that the head is rewritten, so that the commit conflicts.

        Raises:
            Fenced: as in `_happened`.
        """
        while True:
            try:
                transaction = await self.client.begin(locking=True)
                try:
                    head = Head.unpack(await transaction.get_locked(self.layout.head))
                    if head == self.head:
                        # A number above that of the commit: none was tried with it, and a repeated attempt finds it.
                        sealed = head._replace(sequence=tried.sequence + 1)
                        await transaction.commit({self.layout.head: sealed.pack()})
                        if (await self._read([self.layout.head])).get(self.layout.head) != sealed.pack():
                            continue
                        self.head = sealed
                        return False
                finally:
                    await transaction.rollback()
            except TikvFailed:
                await asyncio.sleep(PAUSE)
                continue
            if head.epoch == tried.epoch and head.sequence > tried.sequence:
                self.head = head
                return False
            return await self._happened(tried)

    @property
    def place(self) -> str:
        """Return where the store is, for messages."""
        return f"the store {self.layout.prefix!r} on TiKV at {self.client.where}"

    def lost_to(self, found: Head) -> Fenced:
        """Return why this writer must stop, after it has read the head of another one."""
        return self._lost(found, self.head)

    def _lost(self, found: Head, expected: Head) -> Fenced:
        """Return why this writer must stop when the head in TiKV is not the `expected` one that it wrote."""
        if found.epoch > expected.epoch:
            return Fenced(f"another process has taken over {self.place}, so this one does not write")
        if found.epoch == expected.epoch and found.sequence > expected.sequence:
            return Fenced(
                f"a write that TiKV had reported as failed has happened after all: {self.place} is at commit "
                f"{found.sequence}, after commit {expected.sequence}. This process writes no more: start it again"
            )
        return StoreWentBack(
            f"{self.place} has lost writes that TiKV had acknowledged: it is at commit {found.sequence} of epoch "
            f"{found.epoch}, after commit {expected.sequence} of epoch {expected.epoch}. Was it restored, or has it "
            "lost a disk? This process writes no more: check the cluster, and compare the store with its source or a "
            "backup before it is used again"
        )

    async def _now(self) -> int:
        """Return the time of the cluster's clock in milliseconds."""
        return await self.client.timestamp() >> 18


def missing(writes: Writes, values: Mapping[bytes, bytes]) -> list[bytes]:
    """Return the keys of writes that do not have their values among those that were read."""
    return [key for key, value in writes.items() if values.get(key) != value]


def _ignore(commit: "asyncio.Task[int]") -> None:
    """Collect the error of a commit that nobody waits for, so that asyncio does not report it as never retrieved."""
    if not commit.cancelled():
        commit.exception()


async def until_written(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Repeat an attempt to write while TiKV is away or its locks are in the way, and return its result.

    Args:
        attempt: raises TikvFailed only when it wrote nothing, or when it may be repeated although it did.

    Raises:
        TikvFailed: the last failure when PATIENCE has run out, or one that a retry does not cure.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while True:
        try:
            return await attempt()
        except TikvFailed as error:
            if error.failure is Failure.TOO_LARGE or loop.time() > deadline:
                raise
        await asyncio.sleep(PAUSE)


def transaction_of(view: StateView) -> Transaction:
    """Return the transaction that a view made by `Leadership.begin` reads from."""
    assert isinstance(view.reader, Transaction)
    return view.reader
