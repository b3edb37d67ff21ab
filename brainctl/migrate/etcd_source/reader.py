"""The reads of a migration from its source; each answer is an event of the state machine."""

import asyncio
from collections.abc import Awaitable, Iterable

from brainctl.errors import COMPACTED, FUTURE_REVISION, ApiError, InvalidInput
from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate.etcd_source.range_splitter import Splitter
from brainctl.migrate.machine.events import (
    BaseChosen,
    LeasesFetched,
    LeasesListed,
    PageCompacted,
    PageRead,
    ReadPage,
    SourceAt,
    SourceCompacted,
)
from brainctl.migrate.machine.witness import Position, WentBack
from brainctl.stores.leases import lease_ttls
from brainctl.stores.pages import Pager
from brainctl.stores.store import Store
from brainctl.stores.watching import oldest_revision

LOOK_AGAIN_SECONDS = 1.0
"""Seconds before a Raft log that seems to have gone back is looked at again."""


class SourceReader:
    """Reads one source; every answer must come from the same cluster."""

    def __init__(self, store: Store, cluster: int, position: Position = Position()) -> None:  # noqa: B008 - immutable
        """Create the reader of a source; `position` is that of its Raft log at the last look."""
        self._store = store
        self._cluster = cluster
        self._pager = Pager(store)
        self._revision = 0
        """The newest revision in an answer so far: no later answer may be older."""
        self._position = position
        self._tells_index = True
        """False once the source has refused a status, which has the index of its Raft log."""

    async def revision(self) -> int:
        """Return the source's newest revision (a linearizable read)."""
        return (await self._range(pb.RangeRequest(key=b"\0", count_only=True))).header.revision

    async def look(self) -> SourceAt:
        """Read the revision, and the position of the Raft log.

        Raises:
            WentBack: Either is lower than before. (One look is not enough: a member that was just started may for a
                moment not know what it has committed.)
        """
        revision, position = await self._look()
        if position.is_behind(self._position):
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            revision, position = await self._look()
            if position.is_behind(self._position):
                raise WentBack(
                    f"its Raft log is at term {position.raft_term}, index {position.raft_index}, and was at term "
                    f"{self._position.raft_term}, index {self._position.raft_index}"
                )
        self._position = self._position.up_to(position)
        return SourceAt(revision, *position)

    async def _look(self) -> tuple[int, Position]:
        """Read the revision, then the Raft index of the member that answered: it has committed all that was read."""
        header = (await self._range(pb.RangeRequest(key=b"\0", count_only=True))).header
        index = 0
        if self._tells_index and header.raft_term:
            try:
                status = await self._store.status()
            except ApiError as error:
                if error.passing:
                    raise
                self._tells_index = False
            else:
                index = status.raftIndex if status.header.member_id == header.member_id else 0
        return header.revision, Position(header.raft_term, index)

    async def choose_base(self, attempt: int, *, oldest: bool) -> BaseChosen | SourceCompacted:
        """Return the oldest readable revision or the newest, and the keys at which to cut the key space."""
        base = await oldest_revision(self._store) if oldest else await self.revision()
        try:
            total = await self._count(base, b"\0", b"")
            splitter = Splitter(
                lambda start, end: self._count(base, start, end), lambda start, end: self._first(base, start, end)
            )
            splits = await splitter.splits(total)
        except ApiError as error:
            if error.status != COMPACTED:
                raise
            return SourceCompacted(attempt)
        return BaseChosen(attempt, base, splits, total)

    async def longer_key(self, size: int) -> bytes | None:
        """Return a key of more than `size` bytes; None when there is none now."""
        pager = Pager(self._store, keys_only=True)
        start = b"\0"
        try:
            while True:
                response = await self._checked(pager.page(start, b"", 0), 0)
                for kv in response.kvs:
                    if len(kv.key) > size:
                        return kv.key
                if not response.more:
                    return None
                start = response.kvs[-1].key + b"\0"
        finally:
            await pager.close()

    async def page(self, action: ReadPage) -> PageRead | PageCompacted:
        """Read the next keys of a span."""
        try:
            response = await self._checked(self._pager.page(action.start, action.end, action.revision), action.revision)
        except ApiError as error:
            if error.status != COMPACTED:
                raise
            return PageCompacted(action.attempt, action.span)
        kvs = [kv.SerializeToString() for kv in response.kvs]
        following = response.kvs[-1].key + b"\0" if response.more else b""
        at = action.revision or response.header.revision
        return PageRead(action.attempt, action.span, at, kvs, sum(map(len, kvs)), _leases_of(response.kvs), following)

    async def close(self) -> None:
        """Close what was opened for pages; the store stays open."""
        await self._pager.close()

    async def leases(self, held: frozenset[int], *, final: bool) -> LeasesListed:
        """Return all leases; with the TTLs of those that are new, or of all of them when `final`."""
        response = await self._store.leases()
        live = frozenset(lease.ID for lease in response.leases)
        details = await lease_ttls(self._store, live if final else live - held)
        return LeasesListed(response.header.revision, live, held, details, final)

    async def fetch(self, ids: tuple[int, ...]) -> LeasesFetched:
        """Look up leases; those that the source does not know are missing in the answer."""
        return LeasesFetched(ids, await lease_ttls(self._store, ids))

    async def _count(self, revision: int, start: bytes, end: bytes) -> int:
        """Return the number of live keys from `start` to `end` at a revision; an empty `end` is no upper bound."""
        request = pb.RangeRequest(key=start, range_end=end or b"\0", revision=revision, count_only=True)
        return (await self._range(request)).count

    async def _first(self, revision: int, start: bytes, end: bytes) -> bytes | None:
        """Return the first live key from `start` to `end` at a revision; None when there is none."""
        request = pb.RangeRequest(key=start, range_end=end or b"\0", revision=revision, keys_only=True, limit=1)
        response = await self._range(request)
        return response.kvs[0].key if response.kvs else None

    async def _range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        return await self._checked(self._store.range(request), request.revision)

    async def _checked(self, read: Awaitable[pb.RangeResponse], revision: int) -> pb.RangeResponse:
        """Return the answer to a linearizable read at `revision`: it must not be older than earlier answers.

        Raises:
            WentBack: The answer is older, or the source has not reached `revision`.
            InvalidInput: The answer came from another cluster.
        """
        known = self._revision
        try:
            response = await read
        except ApiError as error:
            if error.status == FUTURE_REVISION:
                raise WentBack(f"it has not reached revision {revision}, at which it was read") from error
            raise
        check_cluster(response.header.cluster_id, self._cluster)
        if response.header.revision < known:
            raise WentBack(f"it is at revision {response.header.revision}, and was at {known}")
        self._revision = max(self._revision, response.header.revision)
        return response


def check_cluster(found: int, expected: int) -> None:
    """Check that an answer came from the cluster that the migration began with.

    Raises:
        InvalidInput: It came from another cluster.
    """
    if found != expected:
        raise InvalidInput(f"the source is cluster {found:x}, but this migration is from cluster {expected:x}")


def _leases_of(kvs: Iterable[kvpb.KeyValue]) -> frozenset[int]:
    return frozenset(kv.lease for kv in kvs if kv.lease)
