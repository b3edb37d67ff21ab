"""Any store of the etcd API as the source of a migration: a real etcd, or a store of brainctl."""

from collections.abc import AsyncGenerator, Mapping

from brainctl.clock import Clock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.etcd_source.change_stream import ChangeStream
from brainctl.migrate.etcd_source.confirm import confirm, confirm_base
from brainctl.migrate.etcd_source.reader import SourceReader
from brainctl.migrate.machine.events import (
    BaseChosen,
    LeasesFetched,
    LeasesListed,
    PageCompacted,
    PageRead,
    ReadPage,
    SourceAt,
    SourceCompacted,
    Streamed,
)
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import Record
from brainctl.migrate.machine.witness import Position, Witness
from brainctl.stores.auth import AuthReader
from brainctl.stores.store import Store


class StoreSource:
    """The `Source` over a store, which it closes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self._auth = AuthReader(store)
        self._stream = ChangeStream(store, clock)
        self._reader = SourceReader(store, 0)

    async def cluster(self) -> int:
        """See `Source.cluster`."""
        return (await self.store.range(pb.RangeRequest(key=b"\0", count_only=True))).header.cluster_id

    async def begin(self, record: Record) -> None:
        """See `Source.begin`: the newest revisions, the number of keys and the Raft log must be as they were."""
        self._stream.cluster = record.cluster
        position = Position(record.raft_term, record.raft_index)
        self._reader = SourceReader(self.store, record.cluster, position)
        if record.phase is Phase.NEW:
            return
        await confirm(self.store, Witness.decode(record.watermark, record.witness))
        if not record.witness:
            await confirm_base(self.store, record.base, record.expected)
        await self._reader.look()

    async def revision(self) -> int:
        """See `Source.revision`."""
        return await self._reader.revision()

    async def look(self) -> SourceAt:
        """See `Source.look`."""
        seen = await self._reader.look()
        self._stream.source = max(self._stream.source, seen.revision)
        return seen

    async def longer_key(self, size: int) -> bytes | None:
        """See `Source.longer_key`."""
        return await self._reader.longer_key(size)

    async def choose_base(self, attempt: int, *, oldest: bool) -> BaseChosen | SourceCompacted:
        """See `Source.choose_base`."""
        return await self._reader.choose_base(attempt, oldest=oldest)

    async def page(self, action: ReadPage) -> PageRead | PageCompacted:
        """See `Source.page`."""
        return await self._reader.page(action)

    def changes(self, attempt: int, after: Witness) -> AsyncGenerator[Streamed | SourceCompacted, None]:
        """See `Source.changes`."""
        return self._stream.open(attempt, after)

    def has_stalled(self, revision: int) -> bool:
        """See `Source.has_stalled`."""
        return self._stream.has_stalled(revision)

    async def leases(self, held: frozenset[int], *, final: bool) -> LeasesListed:
        """See `Source.leases`."""
        return await self._reader.leases(held, final=final)

    async def fetch(self, ids: tuple[int, ...]) -> LeasesFetched:
        """See `Source.fetch`."""
        return await self._reader.fetch(ids)

    async def auth(self) -> Mapping[bytes, bytes]:
        """See `Source.auth`."""
        return (await self._auth.read()).records()

    async def changed_auth(self) -> Mapping[bytes, bytes] | None:
        """See `Source.changed_auth`."""
        found = await self._auth.changed()
        return found.records() if found is not None else None

    async def close(self) -> None:
        """See `Source.close`."""
        await self._reader.close()
        await self.store.close()
