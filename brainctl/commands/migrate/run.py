"""One migration as a command runs it: the stores are opened, handed to the driver, and closed."""

from random import Random
from typing import TYPE_CHECKING

from brainctl.cli.session import Session
from brainctl.clock import Clock
from brainctl.commands.migrate.progress_view import Display, display
from brainctl.commands.migrate.report_view import Report
from brainctl.commands.verify.lines import line
from brainctl.errors import BrainctlError, ExitCode, StoreInUse
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.cutover import Freezer
from brainctl.migrate.etcd_source.reader import SourceReader
from brainctl.migrate.machine.plan import Plan, frozen_by, prepare
from brainctl.migrate.machine.state import Migration
from brainctl.migrate.patient import PatientTarget
from brainctl.migrate.retry import Side, Sides
from brainctl.migrate.runner import Runner
from brainctl.migrate.target_handle import TargetHandle
from brainctl.stores.auth import Auth, AuthReader
from brainctl.stores.registry import open_replica, open_store
from brainctl.stores.store import ReplicaTarget, Store
from brainctl.verify.compare import Comparison
from brainctl.verify.difference import ExtraLease, MissingRevisions

if TYPE_CHECKING:
    from brainctl.commands.migrate.command import MigrateOptions

LONGEST_HOOK = 1000
"""Characters of the freeze hook that the target's record keeps."""
SHOWN = 20
"""Differences that a cutover names before it is given up."""


class Migrator:
    """Runs an order. `still` is a clock that stands: no lease runs out in a store that is only looked at."""

    def __init__(
        self,
        session: Session,
        order: "MigrateOptions",
        source: str,
        target: str,
        clock: Clock,
        still: Clock,
        random: Random,
    ) -> None:
        self.exit_code = ExitCode.ERROR
        """How the process ends when the cutover was given up."""
        self._session = session
        self._order = order
        self._source = source
        self._target = target
        self._clock = clock
        self._still = still
        self._random = random
        self._runner: Runner | None = None
        self._sides: Sides | None = None
        self._stopped = False

    def stop(self) -> None:
        """End in order, as soon as possible."""
        self._stopped = True
        if self._runner is not None:
            self._runner.stop()
        elif self._sides is not None:
            self._sides.hurry()

    async def run(self) -> Report:
        """Open, prepare, migrate, close."""
        if "tikv" in (self._source.partition(":")[0], self._target.partition(":")[0]):
            from brainctl.tikv.panics import divert_panics

            divert_panics()  # before Rich takes standard error
        with display() as shown:
            sides = Sides.of(self._source, self._target, self._clock, self._order.retry_for, shown.waiting)
            self._sides = sides
            source = await sides.source.call(lambda: self._open(self._source))
            try:
                target = await self._open_target(sides.target)
                try:
                    if hook := frozen_by(await target.checkpoint()):
                        shown.warn(f"an earlier cutover was cut short: the source may be frozen, by the hook {hook!r}")
                    auth = await self._auth_of(source, shown, sides.source)
                    plan = await self._prepare(source, target, sides.source)
                except BaseException:
                    await target.close()
                    raise
                return await self._migrate(source, target, plan, shown, sides, auth)
            finally:
                await source.close()

    async def _auth_of(self, source: Store, shown: Display, side: Side) -> AuthReader | None:
        """Return what reads the source's users and roles, if they can be copied; None when they are left behind."""
        if not self._order.auth:
            shown.warn("users, roles and the switch of authentication of the source are left behind (--no-auth)")
            return None
        auth = AuthReader(source)
        await side.call(auth.read, long=True)
        return auth

    async def _open_target(self, side: Side, *also: type[BrainctlError]) -> ReplicaTarget:
        """Open the target once it answers; all calls of it wait for it as well."""
        return PatientTarget(await side.call(lambda: open_replica(self._target), *also), side)

    async def _prepare(self, source: Store, target: ReplicaTarget, side: Side) -> Plan:
        """Take the target over, once the source answers."""
        await side.call(lambda: source.range(pb.RangeRequest(key=b"\0", count_only=True)))
        order = self._order
        return await prepare(
            source,
            target,
            order.history,
            self._random,
            overwrite=order.overwrite,
            even_if_served=order.even_if_served,
        )

    async def _migrate(
        self, source: Store, target: ReplicaTarget, plan: Plan, shown: Display, sides: Sides, auth: AuthReader | None
    ) -> Report:
        # After a comparison, whoever looks at the directory for a moment is waited for.
        slot = TargetHandle(target, lambda: self._open_target(sides.target, StoreInUse), plan.run, plan.epoch)
        order = self._order
        try:
            hook = order.freeze_hook.encode(errors="replace").decode()[:LONGEST_HOOK]
            held = await target.auth() if auth is not None else None
            leases = await target.leases()
            migration = Migration(plan.record, leases, order.goal, clean=plan.clean, hook=hook, auth=held)
            reader = SourceReader(source, plan.record.cluster)

            async def revision() -> int:
                return await sides.source.call(reader.revision)

            async def compare(_revision: int) -> int:
                return await self._compare(source)

            freezer = Freezer(revision, self._clock, order.freeze_hook, order.unfreeze_hook, order.freeze_timeout)
            self._runner = Runner(migration, source, slot, freezer, compare, shown, self._clock, sides, auth)
            if self._stopped:
                self._runner.stop()
            reason = await self._runner.run()
            figures = self._runner.figures()
            copied = Auth.of(migration.auth.held) if auth is not None else None
            return Report.of(figures, self._source, self._target, reason, resumed=plan.resumed, auth=copied)
        finally:
            await slot.close()

    async def _compare(self, source: Store) -> int:
        """Compare both stores, show the first differences, and return how many count.

        Not counted are a lease that the source has lost without losing a key, which runs out by itself, and revisions
        that the target lacks because the source has moved on: the caller compares again.
        """
        target = await self._open(self._target)
        try:
            report = await Comparison(source, target, self._clock, auth=self._order.auth).run()
        finally:
            await target.close()
        counted = [entry for entry in report.differences if not isinstance(entry, ExtraLease | MissingRevisions)]
        for entry in counted[:SHOWN]:
            self._session.warn(line(entry))
        if counted:
            self.exit_code = ExitCode.DIFFERENT
        return len(counted)

    async def _open(self, url: str) -> Store:
        # Its own target is not finished while it is compared.
        admission = self._session.copying if url == self._source else None
        return await open_store(url, self._session.reach(), self._still, admission=admission)
