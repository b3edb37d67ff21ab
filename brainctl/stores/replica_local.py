"""A directory as the target of a migration (`ReplicaTarget`).

The directory is locked, so no server serves it meanwhile. Each call is one commit of the engine, which is written and
synced on another thread before the call returns.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from brainctl.engine.engine import Engine
from brainctl.errors import Fenced
from brainctl.etcdpb import kv_pb2
from brainctl.mvcc.batch import lease_record
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion, tombstone
from brainctl.mvcc.lessor import LEASES, encode_ttl, lease_id
from brainctl.mvcc.partial_history import of_known_keys
from brainctl.mvcc.permission import AUTH
from brainctl.mvcc.record_names import CHECKPOINT
from brainctl.stores.checkpoint import decode_checkpoint, encode_checkpoint
from brainctl.stores.store import Checkpoint

INDEX_BYTES = 1 << 20
"""The bytes of the index that are written between two turns of the event loop."""


class LocalReplica:
    """Takes another store's data with its revisions, into a directory."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory

    @classmethod
    def open(cls, directory: Path) -> "LocalReplica":
        """Open or create the directory.

        Raises:
            StoreInUse: Another process holds it.
        """
        return cls(Engine.open(directory), directory)

    @property
    def revision(self) -> int:
        """See `ReplicaTarget.revision`."""
        return self._engine.view.revision

    @property
    def longest_key(self) -> int | None:
        """See `ReplicaTarget.longest_key`."""
        return None

    async def is_empty(self) -> bool:
        """See `ReplicaTarget.is_empty`."""
        return self._engine.view.revision <= 1 and not self._engine.meta(b"")

    async def served_by(self, *, or_migrated: bool) -> str:
        """See `ReplicaTarget.served_by`. Always "": a directory that another process has open could not be opened."""
        del or_migrated
        return ""

    async def checkpoint(self) -> Checkpoint | None:
        """See `ReplicaTarget.checkpoint`."""
        record = self._engine.record(CHECKPOINT)
        return None if record is None else decode_checkpoint(record)

    async def take_over(self, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.take_over`."""
        stored = await self.checkpoint()
        if stored is not None and checkpoint.epoch <= stored.epoch:
            raise self._fenced()
        await self._write(Commit(self.revision), checkpoint)

    async def import_base(self, kvs: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_base`."""
        await self._check(checkpoint)
        commit = Commit(max(base_revision, self.revision), compact=base_revision, imported=True)
        for raw in kvs:
            kv = kv_pb2.KeyValue.FromString(raw)
            self._add(commit, key_version(kv, raw, 0))
        await self._write(commit, checkpoint)

    async def advance_base(self, events: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.advance_base`."""
        await self._check(checkpoint)
        changes = of_known_keys(self._changes(events), self._is_live)
        commit = Commit(max(base_revision, self.revision), compact=base_revision)
        self._append(commit, changes)
        await self._write(commit, checkpoint)

    async def leases(self) -> Sequence[int]:
        """See `ReplicaTarget.leases`."""
        return [lease_id(name) for name in self._engine.meta(LEASES)]

    async def import_leases(self, leases: Sequence[tuple[int, int, int]], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_leases`.

        The remaining TTL is not kept: a server that opens the store starts it anew.
        """
        await self._check(checkpoint)
        meta: dict[bytes, bytes | None] = {lease_record(lease): encode_ttl(ttl) for lease, ttl, _ in leases}
        await self._write(Commit(self.revision, meta=meta), checkpoint)

    async def drop_leases(self, leases: Sequence[int], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.drop_leases`."""
        await self._check(checkpoint)
        meta: dict[bytes, bytes | None] = {lease_record(lease): None for lease in leases}
        await self._write(Commit(self.revision, meta=meta), checkpoint)

    async def auth(self) -> Mapping[bytes, bytes]:
        """See `ReplicaTarget.auth`."""
        return self._engine.meta(AUTH)

    async def import_auth(self, records: Mapping[bytes, bytes], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_auth`."""
        await self._check(checkpoint)
        gone: dict[bytes, bytes | None] = dict.fromkeys(self._engine.meta(AUTH))
        await self._write(Commit(self.revision, meta=gone | dict(records)), checkpoint)

    async def apply(self, events: Sequence[bytes], revision: int, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.apply`."""
        await self._check(checkpoint)
        commit = Commit(max(revision, self.revision))
        self._append(commit, self._changes(events))
        await self._write(commit, checkpoint)

    async def reset(self, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.reset`. A crash between the removal and the new checkpoint leaves an empty directory."""
        await self._check(checkpoint)
        self._engine.close()
        Engine.destroy(self._directory)
        self._engine = Engine.open(self._directory)
        await self._write(Commit(self.revision), checkpoint)

    async def close(self) -> None:
        """See `ReplicaTarget.close`."""
        self._engine.close()

    def _changes(self, events: Sequence[bytes]) -> Iterator[KeyVersion]:
        """Yield the changes that events describe, without those that the store has."""
        main = sub = 0
        for raw in events:
            kv = kv_pb2.Event.FromString(raw).kv
            if kv.mod_revision <= self.revision:
                continue
            sub = sub + 1 if kv.mod_revision == main else 0
            main = kv.mod_revision
            yield key_version(kv, kv.SerializeToString(), sub) if kv.version else tombstone(kv.key, main, sub)

    def _is_live(self, key: bytes) -> bool:
        found = self._engine.view.get(key)
        return found is not None and found.version > 0

    def _append(self, commit: Commit, changes: Iterable[KeyVersion]) -> None:
        """Append changes of the history to a commit."""
        newest: dict[bytes, KeyVersion] = {}
        for change in changes:
            self._add(commit, change, newest)

    def _add(self, commit: Commit, change: KeyVersion, newest: dict[bytes, KeyVersion] | None = None) -> None:
        """Append a change to a commit, with the version before it; `newest` has those of the same commit."""
        before = None if newest is None else newest.get(change.key)
        before = before or self._engine.view.get(change.key)
        commit.changes.append(change)
        commit.before.append(before if before is not None and before.version else None)
        if newest is not None:
            newest[change.key] = change

    async def _check(self, checkpoint: Checkpoint) -> None:
        """Check that this process still has the migration.

        Raises:
            Fenced: Another process has taken it over.
        """
        stored = await self.checkpoint()
        if stored is None or stored.epoch != checkpoint.epoch or stored.run != checkpoint.run:
            raise self._fenced()

    def _fenced(self) -> Fenced:
        return Fenced(
            f"another process has taken over the migration into {self._directory}, so this one writes no more: let "
            "that one go on, or stop it and run this command again"
        )

    async def _write(self, commit: Commit, checkpoint: Checkpoint) -> None:
        """Write a commit with the checkpoint, durably, then the index of it if that is due."""
        commit.meta[CHECKPOINT] = encode_checkpoint(checkpoint)
        prepared = self._engine.encode(commit)
        await asyncio.to_thread(self._engine.write, prepared)
        self._engine.publish(commit, prepared)
        if self._engine.background.index_due:
            for work in self._engine.background.index(INDEX_BYTES):
                await asyncio.to_thread(work)


def key_version(kv: kv_pb2.KeyValue, raw: bytes, sub: int) -> KeyVersion:
    """Return the version that a KeyValue, marshalled as `raw`, describes."""
    return KeyVersion(kv.key, kv.create_revision, kv.mod_revision, kv.version, kv.lease, raw, sub)
