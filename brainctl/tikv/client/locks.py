"""End the locks that transactions of others left: the primary of each says whether it was committed."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from brainctl.tikv.client.attempts import Attempts
from brainctl.tikv.client.key_errors import LOCKED, judge
from brainctl.tikv.client.methods import CHECK_SECONDARIES, CHECK_STATUS, RESOLVE, UNLOCK
from brainctl.tikv.client.region_calls import RegionCalls
from brainctl.tikv.client.regions import Region
from brainctl.tikv.client.timestamps import Timestamps, physical
from brainctl.tikv.errors import Failure, TikvFailed
from brainctl.tikvpb import kvrpcpb_pb2 as kv

_MANY = 16
"""Keys of a transaction in a region from which on all of its locks there are ended at once."""


class Resolved(NamedTuple):
    """The result of an attempt to end locks."""

    waiting: bool
    """Whether a transaction that may be alive still holds one."""
    passed: frozenset[int]
    """The start timestamps of transactions that will commit later than what the caller reads."""


class Status(NamedTuple):
    """The state of a transaction."""

    alive: bool
    commit: int = 0
    """The timestamp of its commit; 0 when it was rolled back."""
    pushed: bool = False
    """Whether it will commit after what the caller reads."""


class Locks:
    """Looks after the locks that the requests of one client meet."""

    def __init__(self, calls: RegionCalls, timestamps: Timestamps) -> None:
        self._calls = calls
        self._timestamps = timestamps

    async def resolve(self, locks: Iterable[kv.LockInfo], reader: int, attempts: Attempts) -> Resolved:
        """End those locks whose transactions are committed, rolled back, or dead.

        Args:
            locks: that are in the way.
            reader: the timestamp of the reads that met them; 0 for a writer.
            attempts: of the call.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        now = await self._timestamps.get(attempts)
        known: dict[int, Status] = {}
        for lock in locks:
            status = known.get(lock.lock_version)
            if status is None or lock.lock_type == kv.PessimisticLock:
                status = known[lock.lock_version] = await self._status(lock, reader, now, attempts)
            if not status.alive:
                await self._end(lock, status.commit, attempts)
        alive = {start: status for start, status in known.items() if status.alive}
        passed = frozenset(start for start, status in alive.items() if status.pushed)
        return Resolved(len(passed) < len(alive), passed)

    async def _status(self, lock: kv.LockInfo, reader: int, now: int, attempts: Attempts) -> Status:
        """Ask the primary of a lock, and roll its transaction back when its time has run out."""
        request = kv.CheckTxnStatusRequest(
            primary_key=lock.primary_lock,
            lock_ts=lock.lock_version,
            caller_start_ts=reader,
            current_ts=now,
            rollback_if_not_exist=_expired(lock.lock_version, lock.lock_ttl, now),
            resolving_pessimistic_lock=lock.lock_type == kv.PessimisticLock,
        )
        answer = await self._calls.at_key(lock.primary_lock, CHECK_STATUS, request, attempts)
        if answer.HasField("error"):
            if answer.error.HasField("txn_not_found"):
                # The primary may still be prewritten: the outcome is open until the TTL of this lock has passed.
                return Status(alive=True)
            raise refused(answer.error, attempts)
        primary = answer.lock_info
        if primary.use_async_commit:
            if not _expired(lock.lock_version, primary.lock_ttl, now):
                return Status(alive=True)
            return await self._settle_secondaries(primary, request, attempts)
        if answer.lock_ttl:
            return Status(alive=True, pushed=bool(reader) and answer.action == kv.MinCommitTSPushed)
        return Status(alive=False, commit=answer.commit_version)

    async def _settle_secondaries(
        self, primary: kv.LockInfo, asked: kv.CheckTxnStatusRequest, attempts: Attempts
    ) -> Status:
        """Decide a transaction of "async commit": it is committed once all of its locks are there."""
        secondaries = list(primary.secondaries)
        commits: set[int] = set()
        least, whole, fallen_back = primary.min_commit_ts, True, False

        async def check(region: Region, keys: Sequence[bytes]) -> None:
            nonlocal least, whole, fallen_back
            request = kv.CheckSecondaryLocksRequest(keys=keys, start_version=primary.lock_version)
            answer = await self._calls.send(region, CHECK_SECONDARIES, request, attempts)
            if answer.HasField("error"):
                raise refused(answer.error, attempts)
            if answer.commit_ts:
                commits.add(answer.commit_ts)
            whole = whole and len(answer.locks) == len(keys)
            fallen_back = fallen_back or any(not lock.use_async_commit for lock in answer.locks)
            least = max([least, *(lock.min_commit_ts for lock in answer.locks)])

        await self._calls.spread(secondaries, check, attempts)
        if commits:
            commit = max(commits)
        elif fallen_back and whole:
            asked.force_sync_commit = True
            answer = await self._calls.at_key(primary.primary_lock, CHECK_STATUS, asked, attempts)
            if answer.lock_ttl:
                return Status(alive=True)
            commit = answer.commit_version
        else:
            commit = least if whole else 0
        await self._calls.spread(
            [primary.primary_lock, *secondaries],
            lambda region, keys: self._resolve(region, primary.lock_version, commit, keys, attempts),
            attempts,
        )
        return Status(alive=False, commit=commit)

    async def _end(self, lock: kv.LockInfo, commit: int, attempts: Attempts) -> None:
        """Commit or remove what a lock of a decided transaction guards."""
        if lock.lock_type == kv.PessimisticLock:
            request = kv.PessimisticRollbackRequest(
                start_version=lock.lock_version, for_update_ts=lock.lock_for_update_ts, keys=[lock.key]
            )
            answer = await self._calls.at_key(lock.key, UNLOCK, request, attempts)
            for error in answer.errors:
                raise refused(error, attempts)
            return
        keys = [] if lock.txn_size >= _MANY else [lock.key]
        await self._calls.spread(
            [lock.key], lambda region, _: self._resolve(region, lock.lock_version, commit, keys, attempts), attempts
        )

    async def _resolve(
        self, region: Region, start: int, commit: int, keys: Sequence[bytes], attempts: Attempts
    ) -> None:
        request = kv.ResolveLockRequest(start_version=start, commit_version=commit, keys=keys)
        answer = await self._calls.send(region, RESOLVE, request, attempts)
        if answer.HasField("error"):
            raise refused(answer.error, attempts)


def refused(error: kv.KeyError, attempts: Attempts) -> TikvFailed:
    """Return the error for what TiKV says about a key."""
    verdict = judge([error])
    failure = verdict.failure or Failure.LOCKED
    return attempts.failures.of(failure, verdict.sentence or LOCKED, verdict.raw)


def _expired(start: int, ttl: int, now: int) -> bool:
    """Return whether the time of a lock has run out."""
    return physical(start) + ttl < physical(now)
