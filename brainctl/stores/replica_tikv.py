"""A store on TiKV as the target of a migration (`ReplicaTarget`).

A process that takes the migration over takes the lead of the store as well: from then on no transaction of the process
before it can commit, be it a server's or an earlier run's. Single commits carry the checkpoint with them.

`import_base` writes its keys in many transactions, and the checkpoint when all of them are durable; a process killed in
between leaves keys that the next run writes again with the same bytes, because the checkpoint does not count them yet.

`apply` is one transaction for up to some thousand changes. A larger batch takes several transactions, cut at the ends
of revisions, of which the last one moves the checkpoint; a process killed in between leaves a store at a whole
revision, and the events up to it are skipped when the batch is sent again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from brainctl.errors import Fenced, Unsupported
from brainctl.etcdpb import kv_pb2
from brainctl.mvcc.batch import lease_record
from brainctl.mvcc.keyversion import KeyVersion, tombstone
from brainctl.mvcc.lessor import LEASES, encode_ttl, lease_id
from brainctl.mvcc.permission import AUTH
from brainctl.mvcc.record_names import CHECKPOINT
from brainctl.stores.checkpoint import decode_checkpoint, encode_checkpoint
from brainctl.stores.store import Checkpoint
from brainctl.tikv.group_commit import MAX_REQUEST_BYTES
from brainctl.tikv.key_codec import MAX_KEY
from brainctl.tikv.replica import ReplicaWriter
from brainctl.tikv.value_codec import parse_version
from brainctl.tikv.writer import IDENTITY

_INSTEAD = "a directory (file://) takes it, or delete it at the source and copy with --history none --overwrite"


class TikvReplica:
    """Takes another store's data with its revisions; `open_tikv_replica` creates it."""

    def __init__(self, writer: ReplicaWriter) -> None:
        self._writer = writer
        self._held: Checkpoint | None = None
        """The checkpoint with which this process took over."""
        self._tried: Checkpoint | None = None
        """The checkpoint of the last attempt to take over, which may have been stored."""

    @property
    def revision(self) -> int:
        """See `ReplicaTarget.revision`."""
        return self._writer.head.revision

    @property
    def longest_key(self) -> int | None:
        """See `ReplicaTarget.longest_key`."""
        return MAX_KEY

    async def is_empty(self) -> bool:
        """See `ReplicaTarget.is_empty`. A store that was served and never written is empty."""
        state = await self._writer.state()
        records = await self._writer.records(state)
        return state.revision <= 1 and not records.keys() - {IDENTITY} and not await state.count(b"", None, 0)

    async def served_by(self, *, or_migrated: bool) -> str:
        """See `ReplicaTarget.served_by`."""
        holder = await self._writer.holder("serve", *(["migrate"] if or_migrated else []))
        return "" if holder is None else str(holder)

    async def checkpoint(self) -> Checkpoint | None:
        """See `ReplicaTarget.checkpoint`."""
        record = (await self._writer.records()).get(CHECKPOINT)
        return None if record is None else decode_checkpoint(record)

    async def take_over(self, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.take_over`. A call that failed may be repeated, since it may have happened."""
        await self._check_newest(checkpoint)
        self._tried = checkpoint
        await self._writer.take_over()
        # From here on no other process can write, but one may have written since the check.
        await self._check_newest(checkpoint)
        self._held = checkpoint
        await self._writer.write(_meta(checkpoint))

    async def import_base(self, kvs: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_base`."""
        self._check(checkpoint)
        versions = [parse_version(kv, 0) for kv in kvs]
        _check_sizes(versions)
        await self._writer.import_versions(versions, base_revision, _meta(checkpoint))

    async def advance_base(self, events: Sequence[bytes], base_revision: int, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.advance_base`. It is one commit, so that no base is left that the record does not name."""
        self._check(checkpoint)
        changes = list(_changes(events))
        _check_sizes(changes)
        await self._writer.advance_base(changes, base_revision, _meta(checkpoint))

    async def leases(self) -> Sequence[int]:
        """See `ReplicaTarget.leases`."""
        return [lease_id(name) for name in await self._writer.records() if name.startswith(LEASES)]

    async def import_leases(self, leases: Sequence[tuple[int, int, int]], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_leases`.

        The remaining TTL is not kept: a server that opens the store starts it anew.
        """
        self._check(checkpoint)
        granted = {lease_record(lease): encode_ttl(ttl) for lease, ttl, _ in leases}
        await self._writer.write(granted | _meta(checkpoint))

    async def drop_leases(self, leases: Sequence[int], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.drop_leases`."""
        self._check(checkpoint)
        gone: dict[bytes, bytes | None] = {lease_record(lease): None for lease in leases}
        await self._writer.write(gone | _meta(checkpoint))

    async def auth(self) -> Mapping[bytes, bytes]:
        """See `ReplicaTarget.auth`."""
        return {name: record for name, record in (await self._writer.records()).items() if name.startswith(AUTH)}

    async def import_auth(self, records: Mapping[bytes, bytes], checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.import_auth`."""
        self._check(checkpoint)
        gone: dict[bytes, bytes | None] = dict.fromkeys(await self.auth())
        await self._writer.write(gone | dict(records) | _meta(checkpoint))

    async def apply(self, events: Sequence[bytes], revision: int, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.apply`."""
        self._check(checkpoint)
        changes = list(_changes(events))
        _check_sizes(changes)
        await self._writer.apply(changes, revision, _meta(checkpoint))

    async def reset(self, checkpoint: Checkpoint) -> None:
        """See `ReplicaTarget.reset`. A reset that is interrupted is finished by the next `take_over`."""
        self._check(checkpoint)
        await self._writer.reset([CHECKPOINT, IDENTITY], _meta(checkpoint))

    async def close(self) -> None:
        """See `ReplicaTarget.close`."""
        await self._writer.close()

    async def _check_newest(self, checkpoint: Checkpoint) -> None:
        """Check that the epoch is higher than the stored one, unless an earlier attempt of this call stored it.

        Raises:
            Fenced: It is not.
        """
        stored = await self.checkpoint()
        if stored is not None and checkpoint.epoch <= stored.epoch and stored != self._tried:
            raise self._fenced()

    def _check(self, checkpoint: Checkpoint) -> None:
        """Check that this process took over with this checkpoint; each commit notices a later take-over by another.

        Raises:
            Fenced: It did not.
        """
        held = self._held
        if held is None or (held.run, held.epoch) != (checkpoint.run, checkpoint.epoch):
            raise self._fenced()

    def _fenced(self) -> Fenced:
        return Fenced(
            f"another process has taken over the migration into {self._writer.place}, so this one writes no more: let "
            "that one go on, or stop it and run this command again"
        )


def _check_sizes(versions: Iterable[KeyVersion]) -> None:
    """Check, before anything is written, that TiKV can store all versions and its client can read them again.

    Raises:
        Unsupported: A key is longer than MAX_KEY bytes, or a KeyValue than MAX_REQUEST_BYTES.
    """
    for version in versions:
        name = version.key[:64].decode(errors="backslashreplace")
        if len(version.key) > MAX_KEY:
            raise Unsupported(
                f"a store on TiKV takes keys of up to {MAX_KEY} bytes, and the key that begins with {name} has "
                f"{len(version.key)}: {_INSTEAD}"
            )
        if len(version.kv) > MAX_REQUEST_BYTES:
            raise Unsupported(
                f"a store on TiKV takes values of up to {MAX_REQUEST_BYTES} bytes with their keys, and that of {name} "
                f"has {len(version.kv)}: {_INSTEAD}"
            )


def _meta(checkpoint: Checkpoint) -> dict[bytes, bytes | None]:
    return {CHECKPOINT: encode_checkpoint(checkpoint)}


def _changes(events: Sequence[bytes]) -> Iterator[KeyVersion]:
    """Yield the changes that marshalled events describe, with their places in their revisions."""
    revision = sub = 0
    for raw in events:
        kv = kv_pb2.Event.FromString(raw).kv
        sub = sub + 1 if kv.mod_revision == revision else 0
        revision = kv.mod_revision
        if kv.version:
            yield KeyVersion(kv.key, kv.create_revision, revision, kv.version, kv.lease, kv.SerializeToString(), sub)
        else:
            yield tombstone(kv.key, revision, sub)
