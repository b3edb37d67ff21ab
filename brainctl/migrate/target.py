"""The interface of what is migrated into: what it holds, a take-over, and writes that carry a checkpoint.

`StoreTarget` implements it over the stores of brainctl. docs/library.md has a target of a program's own.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from brainctl.migrate.machine.events import (
    AdvanceBase,
    Apply,
    DropLeases,
    GrantLeases,
    ImportBase,
    Reset,
    SetAuth,
    Write,
)
from brainctl.stores.store import Checkpoint, ReplicaTarget


class TargetState(NamedTuple):
    """Facts of a target, for a migration that begins or goes on."""

    revision: int
    """The newest revision: where the stream of changes goes on."""
    checkpoint: Checkpoint | None
    """The checkpoint of the newest write; None when no migration has written here."""
    empty: bool = True
    """True when nothing was ever written, no checkpoint either."""
    leases: Sequence[int] = ()
    """The ids of the leases, in any order."""
    auth: Mapping[bytes, bytes] = {}
    """The small records of users, roles and the switch of authentication."""
    longest_key: int | None = None
    """The bytes of the longest key that it takes; None without a limit."""


class Target(Protocol):
    """A store, a file or a service that a migration writes into.

    Each method raises BrainctlError when it fails; one with `passing` is repeated for as long as --retry-for allows,
    so that each call must be safe to repeat.
    """

    async def look(self) -> TargetState:
        """Return what it holds."""

    async def served_by(self, *, or_migrated: bool) -> str:
        """Return words for the living process that serves it (or migrates into it); "" when there is none."""

    async def take_over(self, checkpoint: Checkpoint) -> None:
        """Store the checkpoint durably: from here on only writes with its epoch are taken.

        Raises:
            Fenced: The stored epoch is as high.
        """

    async def write(self, action: Write, checkpoint: Checkpoint) -> None:
        """Carry out one action and store the checkpoint with it: both are durable on return, or neither is there.

        Keys of an `ImportBase` may come again, and of an `Apply` revisions up to the one that the target has: these are
        skipped, as for an `AdvanceBase`, which also may delete keys that were not imported yet. A `Reset` removes all
        keys and leases, and keeps the checkpoint.

        Raises:
            Fenced: Another process has taken the target over.
        """

    async def close(self) -> None:
        """Release the target."""


class StoreTarget:
    """A store of brainctl as a target."""

    def __init__(self, store: ReplicaTarget) -> None:
        self._store = store

    async def look(self) -> TargetState:
        """See `Target.look`."""
        store = self._store
        stored = await store.checkpoint()
        empty = stored is None and await store.is_empty()
        return TargetState(store.revision, stored, empty, await store.leases(), await store.auth(), store.longest_key)

    async def served_by(self, *, or_migrated: bool) -> str:
        """See `Target.served_by`. A killed process counts for some seconds, which this waits for."""
        return await self._store.served_by(or_migrated=or_migrated)

    async def take_over(self, checkpoint: Checkpoint) -> None:
        """See `Target.take_over`."""
        await self._store.take_over(checkpoint)

    async def write(self, action: Write, checkpoint: Checkpoint) -> None:
        """See `Target.write`. Only `ImportBase` and `Reset` may take several commits; the last has the checkpoint."""
        store = self._store
        match action:
            case Reset():
                await store.reset(checkpoint)
            case ImportBase(kvs, record):
                await store.import_base(kvs, record.base, checkpoint)
            case AdvanceBase(events, record):
                await store.advance_base(events, record.base, checkpoint)
            case Apply(events, record):
                await store.apply(events, record.watermark, checkpoint)
            case GrantLeases(leases, _):
                await store.import_leases(leases, checkpoint)
            case DropLeases(ids, _):
                await store.drop_leases(ids, checkpoint)
            case SetAuth(records, _):
                await store.import_auth(records, checkpoint)

    async def close(self) -> None:
        """See `Target.close`."""
        await self._store.close()
