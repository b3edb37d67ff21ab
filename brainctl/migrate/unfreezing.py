"""The return of a frozen source to its writers, when a cutover ends without a commit."""

from contextlib import suppress

from brainctl.errors import BrainctlError, Fenced, StoreInUse, UnknownOutcome
from brainctl.migrate.cutover import Freezer, HookFailed
from brainctl.migrate.machine.events import GrantLeases
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.state import Migration
from brainctl.migrate.observer import Observer
from brainctl.migrate.target_handle import TargetHandle


class Unfreezing:
    """Unfreezes the source of one migration, or tells the user that it may still be frozen."""

    def __init__(self, migration: Migration, freezer: Freezer, slot: TargetHandle, observer: Observer) -> None:
        self._migration = migration
        self._freezer = freezer
        self._slot = slot
        self._observer = observer

    async def unfreeze(self) -> bool:
        """Unfreeze the source; when that is not possible, warn the user and return False."""
        try:
            freed = await self._freezer.unfreeze()
        except HookFailed as failed:
            self._warn(str(failed))
            return False
        if not freed:
            self._warn("there is no --unfreeze-hook")
        return freed

    def _warn(self, why: str) -> None:
        hook = self._freezer.hook or self._migration.record.frozen
        if hook:
            self._observer.warn(f"the source may still be frozen, by the hook {hook!r}: {why}")

    async def after(self, error: BaseException) -> bool:
        """Unfreeze the source after an error during a cutover; return True when the target turns out to be committed.

        The source stays frozen when unfreezing it could lose writes: another process has the target and may commit it,
        or this process requested the commit and cannot see whether it happened.

        Raises:
            UnknownOutcome: It is not known whether the target was committed.
        """
        try:
            record = await self._slot.stored()
            if record.phase is Phase.COMMITTED:
                return True
        except (Fenced, StoreInUse):
            self._warn("another process has the target")
            return False
        except BrainctlError as unread:
            record = None
            if self._migration.phase is Phase.COMMITTED:
                self._warn("the target may be committed")
                raise UnknownOutcome(
                    f"it is not known whether the target was committed; the same command finds out: {unread}"
                ) from error
        freed = await self.unfreeze()
        if freed and record is not None and record.frozen:
            with suppress(BrainctlError):
                await self._slot.write(GrantLeases((), record._replace(frozen="")))
        return False
