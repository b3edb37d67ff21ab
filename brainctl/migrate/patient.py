"""A target whose calls are repeated while it does not answer.

Each call may be repeated: a write that may have happened writes the same again, or nothing, because events at or below
the target's revision are skipped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from brainctl.errors import BrainctlError
from brainctl.migrate.retry import Side
from brainctl.stores.store import Checkpoint, ReplicaTarget

Answer = TypeVar("Answer")

CLOSE_SECONDS = 10.0
"""The longest time for a close, in seconds; a lead on TiKV that is not given back in it expires by itself."""
AWAY_SECONDS = 1.0
"""The longest time for a close, in seconds, when the target did not answer the last call."""


class PatientTarget:
    """A `ReplicaTarget` that repeats the calls of another one while it does not answer."""

    def __init__(self, target: ReplicaTarget, side: Side) -> None:
        self._target = target
        self._side = side
        self._answers = True

    @property
    def revision(self) -> int:
        """See `ReplicaTarget.revision`."""
        return self._target.revision

    @property
    def longest_key(self) -> int | None:
        """See `ReplicaTarget.longest_key`."""
        return self._target.longest_key

    async def is_empty(self) -> bool:
        """See `ReplicaTarget.is_empty`."""
        return await self._call(self._target.is_empty)

    async def served_by(self, *, or_migrated: bool) -> str:
        """See `ReplicaTarget.served_by`."""
        return await self._call(lambda: self._target.served_by(or_migrated=or_migrated), long=True)

    async def checkpoint(self) -> Checkpoint | None:
        """See `ReplicaTarget.checkpoint`."""
        return await self._call(self._target.checkpoint)

    async def take_over(self, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.take_over`."""
        await self._call(lambda: self._target.take_over(checkpoint))

    async def import_base(self, kvs: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_base`."""
        await self._call(lambda: self._target.import_base(kvs, base_revision, checkpoint))

    async def leases(self) -> Sequence[int]:
        """See `ReplicaTarget.leases`."""
        return await self._call(self._target.leases)

    async def import_leases(self, leases: Sequence[tuple[int, int, int]], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_leases`."""
        await self._call(lambda: self._target.import_leases(leases, checkpoint))

    async def drop_leases(self, leases: Sequence[int], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.drop_leases`."""
        await self._call(lambda: self._target.drop_leases(leases, checkpoint))

    async def auth(self) -> Mapping[bytes, bytes]:
        """See `ReplicaTarget.auth`."""
        return await self._call(self._target.auth)

    async def import_auth(self, records: Mapping[bytes, bytes], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_auth`."""
        await self._call(lambda: self._target.import_auth(records, checkpoint))

    async def apply(self, events: Sequence[bytes], revision: int, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.apply`."""
        await self._call(lambda: self._target.apply(events, revision, checkpoint))

    async def reset(self, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.reset`."""
        await self._call(lambda: self._target.reset(checkpoint), long=True)

    async def close(self) -> None:
        """See `ReplicaTarget.close`. It does not wait for a target that does not answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS if self._answers else AWAY_SECONDS):
                try:
                    await self._target.close()
                except BrainctlError as error:
                    if not error.passing:
                        raise

    async def _call(self, ask: Callable[[], Awaitable[Answer]], *, long: bool = False) -> Answer:
        """Repeat a call until the target answers, and note whether it does."""
        self._answers = False
        answer = await self._side.call(ask, long=long)
        self._answers = True
        return answer
