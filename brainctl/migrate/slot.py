"""The target of a migration, which is closed while both sides are compared, and then opened again."""

from collections.abc import Awaitable, Callable

from brainctl.errors import Fenced
from brainctl.migrate.events import Apply, DropLeases, GrantLeases, ImportBase, Reset, Write
from brainctl.stores.store import Checkpoint, ReplicaTarget

OpenTarget = Callable[[], Awaitable[ReplicaTarget]]


class Slot:
    """Carries out the writes of one process: all of them carry its run and its epoch."""

    def __init__(self, target: ReplicaTarget, reopen: OpenTarget, run: str, epoch: int) -> None:
        self._target: ReplicaTarget | None = target
        self._reopen = reopen
        self._run = run
        self._epoch = epoch

    async def write(self, action: Write) -> None:
        """Make a write durable. Fenced when another process has taken over."""
        assert self._target is not None
        checkpoint = Checkpoint(self._run, self._epoch, action.record.encode())
        match action:
            case Reset():
                await self._target.reset(checkpoint)
            case ImportBase(kvs, record):
                await self._target.import_base(kvs, record.base, checkpoint)
            case Apply(events, record):
                await self._target.apply(events, record.watermark, checkpoint)
            case GrantLeases(leases, _):
                await self._target.import_leases(leases, checkpoint)
            case DropLeases(ids, _):
                await self._target.drop_leases(ids, checkpoint)

    async def close(self) -> None:
        """Let go of the target."""
        target, self._target = self._target, None
        if target is not None:
            await target.close()

    async def open(self) -> None:
        """Take the target again; Fenced when somebody else has taken it over meanwhile."""
        target = await self._reopen()
        stored = await target.checkpoint()
        if stored is None or (stored.run, stored.epoch) != (self._run, self._epoch):
            await target.close()
            raise Fenced("another migration has taken over the target")
        self._target = target
