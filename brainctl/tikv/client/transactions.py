"""Transactions: reads at the start, locks that are taken beforehand, and a commit that is never cancelled."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from brainctl.tikv.client import limits
from brainctl.tikv.client.attempts import Attempts
from brainctl.tikv.client.background import Background
from brainctl.tikv.client.channels import Channels
from brainctl.tikv.client.commits import Commit
from brainctl.tikv.client.heartbeat import Heartbeat
from brainctl.tikv.client.key_errors import LOCKED, judge
from brainctl.tikv.client.methods import LOCK, UNLOCK
from brainctl.tikv.client.plan import Plan
from brainctl.tikv.client.reads import Cluster, Reads
from brainctl.tikv.client.regions import Region
from brainctl.tikv.client.seam import Pair, Transaction
from brainctl.tikv.errors import Failure, TikvFailed
from brainctl.tikvpb import kvrpcpb_pb2 as kv

_WAIT_MS = 1000
"""Milliseconds for which TiKV itself waits for a lock before it says who holds it."""

_under_way: set["asyncio.Task[int]"] = set()
"""Commits under way. The event loop has only weak references to tasks, and this set keeps them until they end."""


class OwnTransaction(Transaction):
    """A transaction of our own client."""

    def __init__(
        self, cluster: Cluster, channels: Channels, background: Background, start: int, *, locking: bool
    ) -> None:
        self._cluster = cluster
        self._reads = Reads(cluster, start)
        self._channels = channels
        self._background = background
        self._start = start
        self._locking = locking
        self._heartbeat = Heartbeat(cluster.calls, cluster.failures, start)
        self._locked: list[bytes] = []
        """Keys for which a lock was requested, the primary first."""
        self._for_update = start
        self._ended = False

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """See `Reader`."""
        return await self._reads.get(keys)

    def scan(
        self, start: bytes, end: bytes, limit: int = 0, largest: int = limits.LARGEST_PAGE
    ) -> AsyncIterator[list[Pair]]:
        """See `Reader`."""
        return self._reads.scan(start, end, limit, largest)

    def key_pages(self, start: bytes, end: bytes) -> AsyncIterator[list[bytes]]:
        """See `Reader`."""
        return self._reads.key_pages(start, end)

    async def get_locked(self, key: bytes) -> bytes | None:
        """See `Transaction`."""
        assert self._locking, "only a transaction that was begun with locking=True locks keys"
        with self._reads.counted("lock"):
            return (await self._lock([key])).get(key)

    async def commit(self, writes: Mapping[bytes, bytes | None]) -> int:
        """See `Transaction`."""
        self._ended = True
        task = asyncio.ensure_future(self._commit(writes))
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)
        return await asyncio.shield(task)

    def abandon(self) -> None:
        """See `Transaction`."""
        self._channels.renew()

    async def rollback(self) -> None:
        """See `Transaction`."""
        if not self._ended:
            self._ended = True
            await self._unlock()

    async def _commit(self, writes: Mapping[bytes, bytes | None]) -> int:
        with self._reads.counted("commit"):
            try:
                if not writes:
                    await self._unlock()
                    return self._start
                if self._locked:
                    await self._lock([key for key in writes if key not in self._locked])
            except TikvFailed:
                await self._unlock()
                raise
            plan = Plan(self._start, writes, self._locked, self._for_update)
            self._heartbeat.primary = plan.primary
            return await Commit(self._cluster, self._background, plan, self._heartbeat).run()

    async def _lock(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Lock keys, and return the newest values of those that exist.

        Raises:
            TikvFailed: TiKV does not answer, or the locks are not free in time.
        """
        values: dict[bytes, bytes] = {}
        first = not self._locked
        waiting = Attempts(self._cluster.failures, limits.LOCK_SECONDS)
        self._locked += keys
        self._heartbeat.primary = self._locked[0]

        async def in_region(region: Region, part: Sequence[bytes]) -> None:
            while True:
                request = self._lock_request(part, first=first)
                attempts = Attempts(self._cluster.failures)
                answer = await self._cluster.calls.send(region, LOCK, request, attempts)
                verdict = judge(answer.errors)
                if verdict.failure is Failure.CONFLICT:
                    # Written since. What is wanted is the newest value, so look again, before it is written once more.
                    waiting.at_once(attempts.failures.of(verdict.failure, verdict.sentence, verdict.raw))
                    self._for_update = max(self._for_update, await self._cluster.timestamps.get(attempts))
                elif verdict.failure is not None:
                    raise attempts.failures.of(verdict.failure, verdict.sentence, verdict.raw)
                elif not verdict.locks:
                    values.update(_values(part, answer))
                    return
                elif (await self._cluster.locks.resolve(verdict.locks, 0, attempts)).waiting:
                    await waiting.pause(attempts.failures.of(Failure.LOCKED, LOCKED))

        await self._cluster.calls.spread(keys, in_region, waiting)
        self._heartbeat.start()
        return values

    def _lock_request(self, keys: Sequence[bytes], *, first: bool) -> kv.PessimisticLockRequest:
        return kv.PessimisticLockRequest(
            mutations=[kv.Mutation(op=kv.PessimisticLock, key=key) for key in keys],
            primary_lock=self._locked[0],
            start_version=self._start,
            lock_ttl=self._heartbeat.ttl,
            for_update_ts=self._for_update,
            is_first_lock=first,
            wait_timeout=_WAIT_MS,
            return_values=True,
            min_commit_ts=self._for_update + 1,
        )

    async def _unlock(self) -> None:
        """Give the locks back; those that stay run out by themselves."""
        self._heartbeat.stop()
        attempts = Attempts(self._cluster.failures)

        async def in_region(region: Region, keys: Sequence[bytes]) -> None:
            request = kv.PessimisticRollbackRequest(
                start_version=self._start, for_update_ts=self._for_update, keys=keys
            )
            await self._cluster.calls.send(region, UNLOCK, request, attempts)

        try:
            if self._locked:
                await self._cluster.calls.spread(self._locked, in_region, attempts)
        except TikvFailed:
            return


def _values(keys: Sequence[bytes], answer: kv.PessimisticLockResponse) -> dict[bytes, bytes]:
    """Return the values of an answer by key. A version of TiKV before 5.0 does not tell which exist."""
    told = answer.not_founds or [not value for value in answer.values]
    return {key: value for key, value, missing in zip(keys, answer.values, told, strict=True) if not missing}
