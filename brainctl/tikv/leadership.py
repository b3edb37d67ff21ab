"""The right to write to a store on TiKV, and the only way in which its head moves.

Every commit of the writer reads the head, checks that it is the one that this writer left, and rewrites it in the
same transaction; so of two writers at most one can commit, and the other learns it with its next commit. A take-over
raises the epoch in the head. A commit whose outcome the client cannot tell is settled by reading the head back: it
carries the number of the last commit. Where a later writer has already taken over, the record of its take-over says
which commit of the epoch before was the last.

The package may answer that a transaction was committed of which it sent nothing, while the Placement Driver knows a
region and not its leader. So no commit counts before it was read back: each ends with the beginning of the next
transaction, which reads the head (a lane reads its own key), and only what is found there was written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from brainctl.errors import Fenced, StoreInUse, StoreWentBack
from brainctl.tikv.blocks import Blocks
from brainctl.tikv.client import PATIENCE, PAUSE, Client, Transaction
from brainctl.tikv.errors import Failure, TikvFailed
from brainctl.tikv.key_codec import LANES, Layout
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Head

Result = TypeVar("Result")

WRITER_LEASE_MS = 5_000
"""How long a writer that is not heard of keeps the lead against those who wait for it."""
HEARTBEAT_SECONDS = 2.0
"""How long a writer waits for writes before it commits nothing but the sign that it is alive."""
RENEW_SECONDS = 1.0
"""How often a writer says that it is alive."""
COMMIT_SECONDS = 10.0
"""How long to wait for the answer to a commit before its outcome is settled over another connection."""
KEPT_EPOCHS = 64
"""Take-overs of which the record is kept."""
FRESH_SECONDS = 1.0
"""How old a transaction may be that was begun beforehand: TiKV counts the life of its locks from its beginning."""
UNSENT = "a write was reported as made and is not there: no server leads some of its keys"


class NotWritten(TikvFailed):
    """A commit wrote nothing, for certain."""

    @classmethod
    def of(cls, failed: TikvFailed) -> "NotWritten":
        """Return what failed, with its outcome."""
        return cls(failed.failure, failed.sentence, failed.where, failed.raw, "nothing was written")


class Leadership:
    """A writer of a store. One commit at a time."""

    def __init__(self, client: Client, layout: Layout, blocks: Blocks) -> None:
        self.client = client
        self.layout = layout
        self.blocks = blocks
        self.head = Head()
        self.note: bytes | None = None
        """What a take-over leaves about this process (`holder`)."""
        self._renewed = float("-inf")
        self._begun: tuple[float, StateView] | None = None
        """A transaction that was begun to read a commit back, and when: the next commit uses it."""
        self._stale: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._chunks = 0

    async def acquire(self, *, force: bool) -> None:
        """Take the lead; its last holder is fenced. Without `force`: StoreInUse while a living writer holds it."""
        while True:
            # With a lock, since a busy writer would win every race.
            transaction = await self.client.begin(locking=True)
            try:
                old = Head.unpack(await transaction.get_locked(self.layout.head))
                now = await self._now()
                if old.expires > now and not force:
                    raise StoreInUse(
                        f"another process writes to {self.place}: stop it, or reach the store through it (--endpoints)"
                    )
                head = old._replace(epoch=old.epoch + 1, sequence=old.sequence + 1, expires=now + WRITER_LEASE_MS)
                await transaction.commit(self._take_over(old, head))
            except TikvFailed as error:
                if error.failure in (Failure.UNAVAILABLE, Failure.TOO_LARGE):
                    raise
                # Whatever became of it, a take-over can be repeated: it only has to be the last one.
                await asyncio.sleep(PAUSE)
            else:
                if await self._taken(head):
                    self.head = head
                    return
            finally:
                await transaction.rollback()

    async def _taken(self, head: Head) -> bool:
        """Return whether a take-over that was answered as committed happened, be it that another came after it."""
        try:
            found = await self._read_head()
        except TikvFailed:
            return False
        return found.epoch > head.epoch or found == head

    async def _read_head(self) -> Head:
        snapshot = await self.client.snapshot(await self.client.timestamp())
        return Head.unpack((await snapshot.get([self.layout.head])).get(self.layout.head))

    def _take_over(self, old: Head, head: Head) -> dict[bytes, bytes | None]:
        layout = self.layout
        writes: dict[bytes, bytes | None] = {layout.lane(number): head.epoch.to_bytes(8) for number in range(LANES)}
        writes[layout.head] = head.pack()
        writes[layout.holder] = self.note
        writes[layout.epoch(head.epoch)] = old.sequence.to_bytes(8)
        if head.epoch > KEPT_EPOCHS:
            writes[layout.epoch(head.epoch - KEPT_EPOCHS)] = None
        return writes

    async def begin(self) -> StateView:
        """The state to base a commit on; its reader is the transaction to write it with. Fenced; TikvFailed."""
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
        return StateView(self.layout, transaction, head, self.blocks)

    async def check_lane(self, number: int) -> Transaction:
        """A transaction that conflicts with every take-over, once it writes the key of the lane; Fenced, TikvFailed.

        Any number of lanes can be in flight, and the head stays as it is: what is written so must mean nothing
        without a later commit of the head.
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

    async def commit_lane(self, number: int, transaction: Transaction, writes: Mapping[bytes, bytes | None]) -> None:
        """Commit what was begun by `check_lane`, and read it back; TikvFailed: it may have happened or may yet."""
        self._chunks += 1
        lane, mark = self.layout.lane(number), self.head.epoch.to_bytes(8) + self._chunks.to_bytes(8)
        await transaction.commit({**writes, lane: mark})
        snapshot = await self.client.snapshot(await self.client.timestamp())
        if (await snapshot.get([lane])).get(lane) != mark:
            raise TikvFailed(Failure.UNAVAILABLE, UNSENT, self.client.where)

    @property
    def renewal_is_due(self) -> bool:
        """Whether the lead has to be prolonged by a commit."""
        return asyncio.get_running_loop().time() > self._renewed + RENEW_SECONDS

    async def next_head(self, **changes: int) -> Head:
        """The head that the next commit is to leave; it prolongs the lead when that is due."""
        expires = self.head.expires
        if self.renewal_is_due:
            self._renewed = asyncio.get_running_loop().time()
            expires = await self._now() + WRITER_LEASE_MS
        return self.head._replace(sequence=self.head.sequence + 1, expires=expires, **changes)

    async def commit(self, transaction: Transaction, writes: Mapping[bytes, bytes | None], head: Head) -> None:
        """Make writes durable together with the new head. Returns when they are; NotWritten when they never will be;
        Fenced when another writer took over first. While TiKV cannot say which, this waits.
        """
        commit = asyncio.ensure_future(transaction.commit({**writes, self.layout.head: head.pack()}))
        done, _ = await asyncio.wait({commit}, timeout=COMMIT_SECONDS)
        if not done:
            commit.add_done_callback(_ignore)
            transaction.abandon()
            if not await self._seal(head):
                silent = TikvFailed(Failure.UNAVAILABLE, "no answer in time", self.client.where)
                raise NotWritten.of(silent)
        elif error := commit.exception():
            if not isinstance(error, TikvFailed):
                raise error
            if not await self._happened(head):
                raise NotWritten.of(error) from error
        elif not await self._read_back(head):
            raise NotWritten(Failure.UNAVAILABLE, UNSENT, self.client.where)
        self.head = head

    async def _read_back(self, head: Head) -> bool:
        """Return whether a commit that was answered as done is there; Fenced as in `_happened`. The transaction that
        finds it is kept for the next commit.
        """
        try:
            view = await self._begin(head)
        except (Fenced, TikvFailed):
            return await self._happened(head)
        loop = asyncio.get_running_loop()
        self._begun = loop.time(), view
        if self._stale is not None:
            self._stale.cancel()
        self._stale = loop.call_later(FRESH_SECONDS, self._roll_back)
        return True

    def _roll_back(self) -> None:
        """Roll back a transaction that nobody needed: the package complains about one that is never ended."""
        task = asyncio.ensure_future(self.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def release(self) -> None:
        """Let others take the lead without waiting; Fenced, TikvFailed."""
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
            await self.commit(transaction_of(view), {}, head)
        finally:
            await transaction_of(view).rollback()

    async def close(self) -> None:
        """Roll back what was begun beforehand."""
        if self._stale is not None:
            self._stale.cancel()
        begun, self._begun = self._begun, None
        if begun is not None:
            await transaction_of(begun[1]).rollback()

    async def _happened(self, tried: Head) -> bool:
        """Whether the commit that was to leave this head did; Fenced when it did not and another writer leads."""
        layout = self.layout
        heir = layout.epoch(tried.epoch + 1)
        while True:
            try:
                snapshot = await self.client.snapshot(await self.client.timestamp())
                # To read the head is to wait for the locks of the commit, or to end them.
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

    async def _seal(self, tried: Head) -> bool:
        """Whether a commit happened that is still under way. If not it never will: the head is rewritten, so that it
        conflicts. Fenced as in `_happened`.
        """
        while True:
            try:
                transaction = await self.client.begin(locking=True)
                try:
                    head = Head.unpack(await transaction.get_locked(self.layout.head))
                    if head == self.head:
                        # A number of its own, whether or not this attempt is the first that is made durable.
                        sealed = head._replace(sequence=tried.sequence + 1)
                        await transaction.commit({self.layout.head: sealed.pack()})
                        if await self._read_head() != sealed:
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

    def _lost(self, found: Head, expected: Head) -> Fenced:
        """Return why this writer must stop, where the head in TiKV is not the `expected` one that it left."""
        if found.epoch > expected.epoch:
            return Fenced(
                f"another process has taken over {self.place}, so this one writes no more: run one server or one "
                "migration of a store at a time"
            )
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
        """Milliseconds on the cluster's clock."""
        return await self.client.timestamp() >> 18


def _ignore(commit: "asyncio.Task[None]") -> None:
    """Take note of the end of a commit that nobody waits for, so that its error is not reported as overlooked."""
    if not commit.cancelled():
        commit.exception()


async def until_written(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Repeat an attempt to write, which raises TikvFailed only when it wrote nothing, while TiKV is away or in the way.
    Raises the last TikvFailed.
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
    """The transaction that a view made by `Leadership.begin` reads from."""
    assert isinstance(view.reader, Transaction)
    return view.reader
