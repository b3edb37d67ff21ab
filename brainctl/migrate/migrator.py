"""One migration in this process: opens source and target, takes the target over, copies, and closes both."""

from collections.abc import Callable
from random import Random, SystemRandom

from brainctl.clock import Clock, ManualClock, SystemClock
from brainctl.errors import BrainctlError, InvalidInput, StoreInUse
from brainctl.migrate.cutover import Freezer
from brainctl.migrate.machine.resume import Plan
from brainctl.migrate.machine.state import Goal, Migration
from brainctl.migrate.observer import Observer, Unobserved
from brainctl.migrate.options import MigrateOptions
from brainctl.migrate.patient import PatientTarget
from brainctl.migrate.report import MigrationReport
from brainctl.migrate.retry import Side, Sides
from brainctl.migrate.runner import Runner
from brainctl.migrate.source import Source
from brainctl.migrate.sources import open_source
from brainctl.migrate.takeover import frozen_by, prepare
from brainctl.migrate.target import StoreTarget, Target
from brainctl.migrate.target_handle import TargetHandle
from brainctl.stores.auth import Auth
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import open_replica, open_store
from brainctl.stores.store import Store
from brainctl.stores.unfinished import CAUTIOUS, UNNOTICED, Admission
from brainctl.verify.compare import Comparison
from brainctl.verify.difference import ExtraLease, MissingRevisions
from brainctl.verify.reading import StoreReader

LONGEST_HOOK = 1000
"""Characters of the freeze hook that the target's record keeps."""
SHOWN = 20
"""Differences that a cutover names before it is given up."""


class Migrator:
    """Copies the store at one URL into the store at another, and goes on where an earlier process ended."""

    def __init__(
        self,
        source: str | Source,
        target: str | Target,
        options: MigrateOptions = MigrateOptions(),  # noqa: B008 - immutable
        *,
        observer: Observer | None = None,
        etcd: EtcdTarget | Callable[[], EtcdTarget] = EtcdTarget(()),  # noqa: B008 - immutable
        admission: Admission = CAUTIOUS._replace(copying=True),  # noqa: B008 - immutable
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        """Create a migration; nothing is opened before `run`.

        Args:
            source: The URL of the source, or a source of another kind, which is closed at the end.
            target: The URL of the target, which is created if there is none, or a target of another kind, which is
                closed at the end. Such a one is not compared and cannot be cut over to.
            options: What to do.
            observer: Receives progress and warnings.
            etcd: How to reach a server: certificates, credentials, limits; or what returns that when it is needed.
            admission: What to do with a source that is an unfinished copy itself; it is refused.
            clock: The clock; the default is that of the system.
            random: The source of the random name of this process; the default is that of the system.
        """
        self.differences = 0
        """The number of differences for which the cutover was given up."""
        self._given = source
        self._source = str(source)
        """The source in words: its URL."""
        self._given_target = target
        self._target = str(target)
        """The target in words: its URL."""
        self._options = options
        self._observer = observer or Unobserved()
        self._etcd = etcd
        self._admission = admission
        self._clock = clock or SystemClock()
        self._still = ManualClock()
        """Stands: no lease expires in a store that is only looked at."""
        self._random = random or SystemRandom()
        self._runner: Runner | None = None
        self._sides: Sides | None = None
        self._stopped = False

    def stop(self) -> None:
        """End in order, as soon as possible; `run` then returns, and the next process goes on from there."""
        self._stopped = True
        if self._runner is not None:
            self._runner.stop()
        elif self._sides is not None:
            self._sides.hurry()

    async def run(self) -> MigrationReport:
        """Migrate until the goal is reached, the cutover is given up (`MigrationReport.reason`), or `stop` is called.

        Raises:
            CutOver: The target was cut over before.
            NotEmpty: The target holds data that no migration has written, and `overwrite` is not set.
            InvalidInput: Source and target do not belong together, or the source has gone back.
            Fenced: Another process has taken over the target.
            UnknownOutcome: It is not known whether the target was committed; the same migration finds out.
            BrainctlError: A store failed. What is in the target stays, and the next process goes on from there.
        """
        observer = self._observer
        sides = Sides.of(self._source, self._target, self._clock, self._options.retry_for, observer.waiting)
        self._sides = sides
        source = await sides.source.call(self._open_source)
        try:
            self._check_goal(source)
            target = await self._open_target(sides.target)
            try:
                if hook := frozen_by((await target.look()).checkpoint):
                    observer.warn(f"an earlier cutover was cut short: the source may be frozen, by the hook {hook!r}")
                await self._check_auth(source, sides.source)
                plan = await self._prepare(source, target, sides.source)
            except BaseException:
                await target.close()
                raise
            return await self._migrate(source, target, plan, sides)
        finally:
            await source.close()

    def _check_goal(self, source: Source) -> None:
        """Check that the source can be followed, and both sides compared, where that is wanted.

        Raises:
            InvalidInput: The source is a file, or the target is not a store of brainctl.
        """
        if not isinstance(self._given_target, str) and self._options.goal is Goal.CUTOVER:
            raise InvalidInput(
                f"{self._target} cannot be compared with the source before a cutover: end with Goal.SYNCED or "
                "Goal.FOLLOW, and compare the two yourself"
            )
        if source.store is None and self._options.goal is not Goal.SYNCED:
            raise InvalidInput(
                f"{self._source} is a file, which takes no writes: copy it without --follow and --cutover, and compare "
                "by `brainctl verify` with what it was saved from"
            )

    async def _check_auth(self, source: Source, side: Side) -> None:
        """Check that the users and roles of the source can be copied, or warn that they are left behind."""
        if self._options.auth:
            await side.call(source.auth, long=True)
        else:
            left = "users, roles and the switch of authentication of the source are left behind (--no-auth)"
            self._observer.warn(left)

    async def _open_source(self) -> Source:
        if not isinstance(self._given, str):
            return self._given
        return await open_source(self._given, self._etcd, self._clock, self._still, self._admission)

    async def _open_target(self, side: Side, *also: type[BrainctlError]) -> Target:
        """Open the target once it answers; all calls of it wait for it as well."""

        async def opened() -> Target:
            given = self._given_target
            return StoreTarget(await open_replica(given)) if isinstance(given, str) else given

        return PatientTarget(await side.call(opened, *also), side)

    async def _prepare(self, source: Source, target: Target, side: Side) -> Plan:
        """Take the target over, once the source answers."""
        await side.call(source.cluster)
        options = self._options
        return await prepare(
            source,
            target,
            options.history,
            self._random,
            overwrite=options.overwrite,
            even_if_served=options.even_if_served,
        )

    async def _migrate(self, source: Source, target: Target, plan: Plan, sides: Sides) -> MigrationReport:
        """Run the state machine, and report."""
        # After a comparison, whoever looks at the directory for a moment is waited for.
        slot = TargetHandle(target, lambda: self._open_target(sides.target, StoreInUse), plan.run, plan.epoch)
        options = self._options
        try:
            hook = options.freeze_hook.encode(errors="replace").decode()[:LONGEST_HOOK]
            held = await target.look()
            auth = held.auth if options.auth else None
            migration = Migration(plan.record, held.leases, options.goal, clean=plan.clean, hook=hook, auth=auth)

            async def revision() -> int:
                return await sides.source.call(source.revision)

            async def compare(_revision: int) -> int:
                assert source.store is not None  # `_check_goal`
                return await self._compare(source.store)

            freezer = Freezer(revision, self._clock, options.freeze_hook, options.unfreeze_hook, options.freeze_timeout)
            self._runner = Runner(migration, source, slot, freezer, compare, self._observer, self._clock, sides)
            if self._stopped:
                self._runner.stop()
            reason = await self._runner.run()
            copied = Auth.of(migration.auth.held) if options.auth else None
            figures = self._runner.figures()
            return MigrationReport.of(figures, self._source, self._target, reason, resumed=plan.resumed, auth=copied)
        finally:
            await slot.close()

    async def _compare(self, source: Store) -> int:
        """Compare both stores, show the first differences, and return how many count.

        Not counted are a lease that the source has lost without losing a key, which runs out by itself, and revisions
        that the target lacks because the source has moved on: the caller compares again.
        """
        target = await open_store(self._target, self._etcd, self._still, admission=UNNOTICED)
        try:
            sides = StoreReader(source), StoreReader(target)
            report = await Comparison(*sides, self._clock, auth=self._options.auth).run()
        finally:
            await target.close()
        counted = [entry for entry in report.differences if not isinstance(entry, ExtraLease | MissingRevisions)]
        for entry in counted[:SHOWN]:
            self._observer.differs(entry)
        self.differences = len(counted)
        return len(counted)
