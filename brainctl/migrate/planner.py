"""The dry run of a migration: looks at both sides, writes nothing, and says what stands in the way."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from brainctl.clock import Clock, ManualClock, SystemClock
from brainctl.engine.log import manifest
from brainctl.engine.recovery.store_directory import must_be_ours
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.errors import BrainctlError, StoreInUse
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.machine.events import BaseChosen, PageRead, ReadPage
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.prechecks import Finding, Level, SourceFacts, TargetFacts, Wanted, findings
from brainctl.migrate.machine.record import History, Record
from brainctl.migrate.options import MigrateOptions
from brainctl.migrate.source import Source
from brainctl.migrate.sources import open_source
from brainctl.stores.alarms import alarms
from brainctl.stores.auth import Auth
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import open_replica
from brainctl.stores.schemes import Can
from brainctl.stores.unfinished import CAUTIOUS, Admission
from brainctl.stores.urls import directory_of, having

SAMPLE_PAGES = 8
"""The most pages that are read to measure the source."""
SAMPLE_SECONDS = 1.0
"""After this time no further page is read."""


class MigrationPlan(NamedTuple):
    """Facts of both sides, and what they mean for a migration."""

    source: SourceFacts
    target: TargetFacts
    findings: list[Finding]

    @property
    def blocking(self) -> list[Finding]:
        """Return the findings with which the migration would end."""
        return [finding for finding in self.findings if finding.level is Level.BLOCKING]


class Planner:
    """Plans the migration that a `Migrator` with the same arguments would run."""

    def __init__(
        self,
        source: str,
        target: str,
        options: MigrateOptions = MigrateOptions(),  # noqa: B008 - immutable
        *,
        etcd: EtcdTarget | Callable[[], EtcdTarget] = EtcdTarget(()),  # noqa: B008 - immutable
        admission: Admission = CAUTIOUS._replace(copying=True),  # noqa: B008 - immutable
        clock: Clock | None = None,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        """Create a plan; nothing is opened before `run`. See `Migrator` for the arguments.

        `free` returns the bytes that are free on the disk of a directory.
        """
        self._source = source
        self._target = target
        self._options = options
        self._etcd = etcd
        self._admission = admission
        self._clock = clock or SystemClock()
        self._free = free

    async def run(self) -> MigrationPlan:
        """Look at both sides.

        Raises:
            BrainctlError: A side cannot be read.
        """
        having(Can.TARGET, self._target)
        refused: list[Finding] = []
        source = await open_source(self._source, self._etcd, self._clock, ManualClock(), self._admission)
        try:
            seen = await self._look(source, refused)
        finally:
            await source.close()
        try:
            target = await self._look_at_target()
        except StoreInUse as error:
            target = TargetFacts(exists=True, empty=False)
            refused.append(Finding(Level.BLOCKING, str(error), error.exit_code))
            return MigrationPlan(seen, target, refused)
        options = self._options
        wanted = Wanted(options.history, options.overwrite, options.even_if_served)
        return MigrationPlan(seen, target, refused + findings(seen, target, wanted))

    async def _look(self, source: Source, refused: list[Finding]) -> SourceFacts:
        """Read the facts of the source; what cannot be copied is added to `refused`."""
        cluster = await source.cluster()
        await source.begin(Record(phase=Phase.NEW, cluster=cluster, history=self._options.history))
        revision = await source.revision()
        chosen = await source.choose_base(0, oldest=self._options.history is History.ALL)
        assert isinstance(chosen, BaseChosen)
        leases = await source.leases(frozenset(), final=False)
        facts = SourceFacts(cluster, revision, chosen.revision, chosen.keys, leases=len(leases.live))
        if self._options.auth:
            try:
                auth = Auth.of(dict(await source.auth()))
                facts = facts._replace(users=len(auth.users), roles=len(auth.roles))
            except BrainctlError as error:
                refused.append(Finding(Level.BLOCKING, str(error), error.exit_code))
        else:
            facts = facts._replace(users=None)
        if source.store is not None:
            status = await source.store.status()
            raised = (await alarms(source.store)).alarms if status.errors else ()
            facts = facts._replace(
                version=status.version,
                size_in_use=status.dbSizeInUse,
                errors=tuple(status.errors),
                is_damaged=any(alarm.alarm == pb.CORRUPT for alarm in raised),
                is_learner=status.isLearner,
            )
        return await self._measured(source, facts)

    async def _measured(self, source: Source, facts: SourceFacts) -> SourceFacts:
        """Return the facts with a sample of the keys: the first pages of the newest state."""
        began, start = self._clock.monotonic(), b"\0"
        keys = size = 0
        for _ in range(SAMPLE_PAGES):
            page = await source.page(ReadPage(0, 0, start, b"", facts.revision))
            if not isinstance(page, PageRead):
                break
            keys, size, start = keys + len(page.kvs), size + page.size, page.next
            if not start or self._clock.monotonic() - began > SAMPLE_SECONDS:
                break
        seconds = self._clock.monotonic() - began
        return facts._replace(sample_keys=keys, sample_bytes=size, sample_seconds=seconds)

    async def _look_at_target(self) -> TargetFacts:
        """Read the facts of the target, which is not created.

        Raises:
            StoreInUse: It is locked.
            InvalidInput: The directory is another program's.
        """
        directory = directory_of(self._target)
        free = None
        if directory is not None:
            existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
            free = self._free(existing)
            must_be_ours(str(directory), OsFileSystem())
            if not (directory / manifest.NAME).exists():
                return TargetFacts(exists=False, free=free)
        target = await open_replica(self._target)
        try:
            stored = await target.checkpoint()
            empty = stored is None and await target.is_empty()
            return TargetFacts(
                not empty or directory is not None,
                empty,
                target.revision,
                Record.decode(stored.state) if stored is not None else None,
                await target.served_by(or_migrated=True),
                free,
            )
        finally:
            await target.close()
