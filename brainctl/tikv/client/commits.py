"""Commit writes of one transaction: in one phase where one region has all keys, else in two (Percolator).

What is certain when an attempt ends:

* The first phase writes nothing that anyone sees, unless it is the only one.
* The request that commits the primary, or the only phase, decides. When its answer is lost, it is repeated, which does
  no harm; when the repetition is refused, the primary is asked; when nothing is answered any more, the outcome is
  *undetermined*.
* Once the primary is committed, the others are committed in the background, or by whoever meets their locks.
"""

from collections.abc import Sequence

from brainctl.tikv.client.attempts import Attempts
from brainctl.tikv.client.background import Background
from brainctl.tikv.client.heartbeat import Heartbeat
from brainctl.tikv.client.key_errors import ENDED, LOCKED, judge
from brainctl.tikv.client.locks import refused
from brainctl.tikv.client.methods import CHECK_STATUS, COMMIT, PREWRITE, ROLLBACK
from brainctl.tikv.client.plan import UNDETERMINED, Plan
from brainctl.tikv.client.reads import Cluster
from brainctl.tikv.client.region_calls import Fate, Regroup, gather_all
from brainctl.tikv.client.regions import Region
from brainctl.tikv.errors import NOT_WRITTEN, Failure, TikvFailed
from brainctl.tikvpb import kvrpcpb_pb2 as kv

_FOR_EVER = (1 << 64) - 1
"""A time at which every lock has run out."""


class Commit:
    """One commit under way."""

    def __init__(self, cluster: Cluster, background: Background, plan: Plan, heartbeat: Heartbeat) -> None:
        self._cluster = cluster
        self._background = background
        self._plan = plan
        self._heartbeat = heartbeat
        self._fate = Fate()
        self._least = 0
        """The smallest timestamp that the commit may have."""
        self._committed = 0
        """The timestamp of a commit that the first phase made."""

    async def run(self) -> int:
        """Commit, and return the timestamp of the commit.

        Raises:
            TikvFailed: as `seam.Transaction.commit`.
        """
        try:
            return await self._two_phases()
        except TikvFailed as error:
            if self._fate.unknown:
                return await self._settle(error)
            undo = self._undo()
            if error.failure in NOT_WRITTEN:
                # Done before the caller tries again, which would meet these locks.
                await undo
            else:
                self._background.spawn(undo)
            raise
        finally:
            self._heartbeat.stop()

    async def _two_phases(self) -> int:
        attempts = Attempts(self._cluster.failures)
        # Whatever was answered before now is committed before this.
        self._least = await self._cluster.timestamps.get(attempts) + 1
        await self._cluster.calls.spread(
            self._plan.keys, lambda region, keys: self._prewrite(region, keys, attempts), attempts
        )
        if self._committed:
            return self._committed
        # The locks are there: so no earlier request has committed in one phase.
        self._fate.unknown = False
        return await self._commit_primary(Attempts(self._cluster.failures))

    async def _prewrite(self, region: Region, keys: Sequence[bytes], attempts: Attempts) -> None:
        """Lock keys of one region, in as many requests as it takes.

        Raises:
            TikvFailed: they cannot be locked.
        """
        parts = self._plan.prewrite_batches(keys)
        await gather_all([self._prewrite_part(region, len(keys), part, attempts) for part in parts])

    async def _prewrite_part(self, region: Region, in_region: int, keys: Sequence[bytes], attempts: Attempts) -> None:
        calls = self._cluster.calls
        while True:
            request = self._plan.prewrite(keys, self._heartbeat.ttl, self._least, in_region)
            request.context.is_retry_request = self._fate.unknown
            if not request.try_one_pc:
                self._heartbeat.start()
            decides = self._fate if request.try_one_pc else None
            try:
                answer = await calls.send(region, PREWRITE, request, attempts, decides)
            except Regroup:
                await calls.spread(keys, lambda other, part: self._prewrite(other, part, attempts), attempts)
                return
            verdict = judge(answer.errors)
            if verdict.failure is not None:
                raise attempts.failures.of(verdict.failure, verdict.sentence, verdict.raw)
            if not verdict.locks:
                self._committed = self._committed or answer.one_pc_commit_ts
                return
            resolved = await self._cluster.locks.resolve(verdict.locks, 0, attempts)
            if resolved.waiting:
                await attempts.pause(attempts.failures.of(Failure.LOCKED, LOCKED))

    async def _commit_primary(self, attempts: Attempts) -> int:
        """Decide the transaction, and return the timestamp of its commit.

        Raises:
            TikvFailed: it was ended by another process, or there is no answer.
        """
        plan, calls = self._plan, self._cluster.calls
        commit = await self._cluster.timestamps.get(attempts)
        while True:
            region = await calls.locate(plan.primary, attempts)
            keys = plan.commit_batches([key for key in plan.keys if region.has(key)])[0]
            request = kv.CommitRequest(start_version=plan.start, keys=keys, commit_version=commit)
            try:
                answer = await calls.send(region, COMMIT, request, attempts, self._fate)
            except Regroup:
                continue
            if not answer.HasField("error"):
                break
            self._fate.unknown = False
            if not answer.error.HasField("commit_ts_expired"):
                raise refused(answer.error, attempts)
            # A reader has seen the state without this transaction, so it has to come later.
            commit = await self._cluster.timestamps.get(attempts)
        done = set(keys)
        if rest := [key for key in plan.keys if key not in done]:
            self._background.spawn(self._commit_others(rest, commit))
        return commit

    async def _commit_others(self, keys: Sequence[bytes], commit: int) -> None:
        """Commit the keys that are not the primary.

        Raises:
            TikvFailed: whoever meets their locks does it then.
        """
        attempts = Attempts(self._cluster.failures)

        async def in_region(region: Region, part: Sequence[bytes]) -> None:
            for batch in self._plan.commit_batches(part):
                request = kv.CommitRequest(start_version=self._plan.start, keys=batch, commit_version=commit)
                await self._cluster.calls.send(region, COMMIT, request, attempts)

        await self._cluster.calls.spread(keys, in_region, attempts)

    async def _settle(self, error: TikvFailed) -> int:
        """Ask the primary whether the transaction was committed, and roll it back unless it was.

        Returns:
            The timestamp of the commit.

        Raises:
            TikvFailed: `error` when it is certain that nothing was written; otherwise that the outcome is unknown.
        """
        failures = self._cluster.failures
        unknown = failures.of(Failure.UNDETERMINED, UNDETERMINED, error.raw)
        if error.failure is Failure.UNAVAILABLE:
            raise unknown from error
        request = kv.CheckTxnStatusRequest(
            primary_key=self._plan.primary,
            lock_ts=self._plan.start,
            current_ts=_FOR_EVER,
            rollback_if_not_exist=True,
        )
        try:
            answer = await self._cluster.calls.at_key(self._plan.primary, CHECK_STATUS, request, Attempts(failures))
        except TikvFailed as silent:
            raise unknown from silent
        if answer.HasField("error") or answer.lock_ttl:
            raise unknown from error
        if answer.commit_version:
            return answer.commit_version
        if error.failure in NOT_WRITTEN:
            raise error
        raise failures.of(Failure.CONFLICT, ENDED, error.raw) from error

    async def _undo(self) -> None:
        """Remove the locks of a transaction that certainly was not committed; those that stay run out by themselves."""
        attempts = Attempts(self._cluster.failures)

        async def in_region(region: Region, keys: Sequence[bytes]) -> None:
            for batch in self._plan.commit_batches(keys):
                request = kv.BatchRollbackRequest(start_version=self._plan.start, keys=batch)
                await self._cluster.calls.send(region, ROLLBACK, request, attempts)

        try:
            await self._cluster.calls.spread(self._plan.keys, in_region, attempts)
        except TikvFailed:
            return
