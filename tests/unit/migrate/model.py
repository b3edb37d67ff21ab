"""A source and a target of migrations in memory: the models that the real ones are held against."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from brainctl.errors import COMPACTED, ApiError, Fenced
from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.mvcc.keyversion import KeyVersion, put_version, tombstone
from brainctl.stores.store import Checkpoint

Result = TypeVar("Result")


def now(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise AssertionError("the coroutine waits")


def event_of(version: KeyVersion) -> bytes:
    """The marshalled mvccpb.Event of a change."""
    kind = kvpb.Event.PUT if version.version else kvpb.Event.DELETE
    return kvpb.Event(type=kind, kv=kvpb.KeyValue.FromString(version.kv)).SerializeToString()


class SourceModel:
    """Every revision of a small etcd: revision 1 is empty, each change makes the next."""

    def __init__(self) -> None:
        self.states: list[dict[bytes, KeyVersion]] = [{}, {}]
        self.changes: list[list[KeyVersion]] = [[], []]
        self.leases: dict[int, int] = {}
        self.accounts: dict[bytes, bytes] = {}
        self.compacted = -1

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def write(self, puts: dict[bytes, tuple[bytes, int]], deletes: set[bytes]) -> None:
        """One transaction: `puts` maps keys to values and leases."""
        state, revision = dict(self.states[-1]), self.revision + 1
        changes = []
        for key, (value, lease) in sorted(puts.items()):
            attached = lease if lease in self.leases else 0
            state[key] = put_version(key, value, attached, revision, len(changes), state.get(key))
            changes.append(state[key])
        for key in sorted(deletes - puts.keys()):
            if state.pop(key, None):
                changes.append(tombstone(key, revision, len(changes)))
        if changes:
            self.states.append(state)
            self.changes.append(changes)

    def revoke(self, lease: int) -> None:
        if self.leases.pop(lease, None) is not None:
            self.write({}, {key for key, version in self.states[-1].items() if version.lease == lease})

    def compact(self, revision: int) -> None:
        self.compacted = max(self.compacted, revision)

    def check(self, revision: int) -> None:
        if revision < self.compacted:
            raise ApiError(COMPACTED)

    def events(self, revision: int) -> list[bytes]:
        return [event_of(change) for change in self.changes[revision]]

    def live(self, revision: int) -> dict[bytes, bytes]:
        return {key: version.kv for key, version in self.states[revision].items()}


class TargetModel:
    """What a target of stores promises (`ReplicaTarget`), in memory. `stored` outlives the process that wrote it."""

    def __init__(self) -> None:
        self.stored: Checkpoint | None = None
        self.revision = 1
        self.base = 0
        self.keys: dict[bytes, bytes] = {}
        self.history: list[bytes] = []
        self.granted: dict[int, tuple[int, int]] = {}
        self.accounts: dict[bytes, bytes] = {}
        self.longest_key: int | None = None

    async def is_empty(self) -> bool:
        return self.revision == 1 and not self.keys and not self.granted

    async def served_by(self, *, or_migrated: bool) -> str:
        del or_migrated
        return ""

    async def checkpoint(self) -> Checkpoint | None:
        return self.stored

    async def take_over(self, checkpoint: Checkpoint) -> None:
        if self.stored is not None and checkpoint.epoch <= self.stored.epoch:
            raise Fenced("another migration has taken over")
        self.stored = checkpoint

    def _move(self, checkpoint: Checkpoint) -> None:
        if self.stored is None or checkpoint.epoch != self.stored.epoch:
            raise Fenced("another migration has taken over")
        self.stored = checkpoint

    async def import_base(self, kvs: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        self._move(checkpoint)
        for kv in kvs:
            self.keys[kvpb.KeyValue.FromString(kv).key] = kv
            self._check_lease(kv)
        self.base = self.revision = base_revision

    async def advance_base(self, events: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        self._move(checkpoint)
        for encoded in events:
            event = kvpb.Event.FromString(encoded)
            if event.kv.mod_revision <= self.revision:
                continue
            assert event.kv.mod_revision <= base_revision
            if event.type == kvpb.Event.DELETE:
                self.keys.pop(event.kv.key, None)
            elif event.kv.version == 1 or event.kv.key in self.keys:
                self.keys[event.kv.key] = event.kv.SerializeToString()
                self._check_lease(self.keys[event.kv.key])
        assert base_revision >= self.revision
        assert not self.history
        self.base = self.revision = base_revision

    async def leases(self) -> Sequence[int]:
        return list(self.granted)

    async def import_leases(self, leases: Sequence[tuple[int, int, int]], checkpoint: Checkpoint) -> None:
        self._move(checkpoint)
        self.granted |= {lease: (granted, remaining) for lease, granted, remaining in leases}

    async def drop_leases(self, leases: Sequence[int], checkpoint: Checkpoint) -> None:
        self._move(checkpoint)
        for lease in leases:
            self.granted.pop(lease, None)

    async def auth(self) -> Mapping[bytes, bytes]:
        return self.accounts

    async def import_auth(self, records: Mapping[bytes, bytes], checkpoint: Checkpoint) -> None:
        self._move(checkpoint)
        self.accounts = dict(records)

    async def apply(self, events: Sequence[bytes], revision: int, checkpoint: Checkpoint) -> None:
        self._move(checkpoint)
        for encoded in events:
            event = kvpb.Event.FromString(encoded)
            if event.kv.mod_revision <= self.revision:
                continue
            assert event.kv.mod_revision <= revision
            self.history.append(encoded)
            if event.type == kvpb.Event.PUT:
                self.keys[event.kv.key] = event.kv.SerializeToString()
                self._check_lease(self.keys[event.kv.key])
            else:
                del self.keys[event.kv.key]
        assert revision >= self.revision, "the watermark goes back"
        self.revision = revision

    def _check_lease(self, kv: bytes) -> None:
        lease = kvpb.KeyValue.FromString(kv).lease
        assert not lease or lease in self.granted, "a key came before its lease"

    async def reset(self, checkpoint: Checkpoint) -> None:
        self._move(checkpoint)
        self.keys.clear()
        self.history.clear()
        self.granted.clear()
        self.accounts = {}
        self.revision, self.base = 1, 0

    async def close(self) -> None:
        pass
