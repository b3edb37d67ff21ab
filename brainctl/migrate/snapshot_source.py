"""A database file of etcd as the source of a migration: a snapshot, or `member/snap/db` of an etcd that is stopped.

The copy has what the file has: the history from its compacted revision on, leases with their whole TTL, users and
roles. The etcd that the file is of is not asked for anything. The keys and values are held in memory.
"""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from brainctl.backup.etcd_database import Database, Row, naming, newest, open_database
from brainctl.errors import InvalidInput, SnapshotDamaged, next_step
from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.migrate.machine.events import (
    BaseChosen,
    LeasesFetched,
    LeasesListed,
    PageRead,
    ReadPage,
    RevisionRead,
    SourceAt,
    SourceCompacted,
    Streamed,
)
from brainctl.migrate.machine.record import Record
from brainctl.migrate.machine.witness import Witness
from brainctl.stores.auth import Auth
from brainctl.stores.store import Store
from brainctl.stores.urls import StoreUrl

PAGE_BYTES = 1 << 20
"""The bytes of a page, unless it has a single key."""
REVISIONS = 500
"""The most revisions that are delivered at once."""


async def open_source(url: StoreUrl) -> "SnapshotSource":
    """Open the file that a URL names, and read it.

    Raises:
        InvalidInput: It cannot be read.
        StoreInUse: An etcd has it open.
        StoreDamaged: It is no database of etcd, or its content is not what its digest says.
    """
    return await asyncio.to_thread(_read, url.path)


def _read(path: Path) -> "SnapshotSource":
    try:
        with naming(path):
            database = open_database(path)
            digests = database.digests()
            if digests is not None and digests[0] != digests[1]:
                raise SnapshotDamaged("the content is not what the SHA-256 at its end says: save the snapshot again")
            return SnapshotSource(database)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}").advised(next_step(error)) from error


class SnapshotSource:
    """The `Source` over a database file, which never changes."""

    store: Store | None = None

    def __init__(self, database: Database) -> None:
        """Read all rows of a database.

        Raises:
            StoreDamaged: A record is damaged.
        """
        self._number = database.number()
        self._auth = Auth.of_database(database).records()
        self._leases = tuple((lease, ttl, ttl) for lease, ttl in database.leases())
        self._compacted = max(database.compacted, 1)
        rows = list(database.rows())
        self._newest = max([self._compacted, *(row.revision for row in rows[-1:])])
        self._rows = [row for row in rows if row.value]  # etcdutl's --bump-revision leaves a row without a value
        self._base = 0
        """The revision of which `_live` has the keys."""
        self._live: dict[bytes, Row] = {}
        self._keys: list[bytes] = []
        """The keys of `_live`, in order."""

    async def cluster(self) -> int:
        """See `Source.cluster`: a number of the content, so that a migration goes on from the same file only."""
        return self._number

    async def begin(self, record: Record) -> None:
        """See `Source.begin`; the number of the content has proved that nothing has changed."""

    async def revision(self) -> int:
        """See `Source.revision`."""
        return self._newest

    async def look(self) -> SourceAt:
        """See `Source.look`."""
        return SourceAt(self._newest)

    async def longer_key(self, size: int) -> bytes | None:
        """See `Source.longer_key`; those of the history count as well."""
        return next((row.kv.key for row in self._rows if len(row.kv.key) > size), None)

    async def choose_base(self, attempt: int, *, oldest: bool) -> BaseChosen | SourceCompacted:
        """See `Source.choose_base`; the key space is not cut."""
        base = self._compacted if oldest else self._newest
        await self._load(base)
        return BaseChosen(attempt, base, (), len(self._keys))

    async def page(self, action: ReadPage) -> PageRead | SourceCompacted:
        """See `Source.page`."""
        await self._load(action.revision)
        kvs: list[bytes] = []
        size, at, leases = 0, bisect_left(self._keys, action.start), set[int]()
        end = bisect_left(self._keys, action.end) if action.end else len(self._keys)
        while at < end and (not kvs or size + len(self._live[self._keys[at]].value) <= PAGE_BYTES):
            row = self._live[self._keys[at]]
            kvs.append(row.value)
            size += len(row.value)
            leases.add(row.kv.lease)
            at += 1
        following = self._keys[at] if at < end else b""
        return PageRead(action.attempt, action.span, kvs, size, frozenset(leases - {0}), following)

    async def _load(self, revision: int) -> None:
        """Find the keys that were live at a revision."""
        if revision != self._base:
            rows = [row for row in self._rows if row.revision <= revision]
            self._live = await asyncio.to_thread(newest, rows)
            self._keys = sorted(self._live)
            self._base = revision

    async def changes(self, attempt: int, after: Witness) -> AsyncGenerator[Streamed | SourceCompacted, None]:
        """See `Source.changes`: the rest of the history, and then nothing more."""
        yield Streamed(attempt, [])
        first = bisect_left(self._rows, after.revision + 1, key=attrgetter("revision"))
        revisions: list[RevisionRead] = []
        for number, rows in groupby(self._rows[first:], key=attrgetter("revision")):
            revisions.append(_revision(number, list(rows)))
            if len(revisions) == REVISIONS:
                yield Streamed(attempt, revisions)
                revisions = []
        if not self._rows or self._rows[-1].revision < self._newest:
            revisions.append(RevisionRead(self._newest, [], 0, frozenset()))
        yield Streamed(attempt, revisions)
        await asyncio.Event().wait()

    def has_stalled(self, revision: int) -> bool:
        """See `Source.has_stalled`."""
        del revision
        return False

    async def leases(self, held: frozenset[int], *, final: bool) -> LeasesListed:
        """See `Source.leases`; the whole TTL of each remains."""
        live = frozenset(lease for lease, _, _ in self._leases)
        details = tuple(lease for lease in self._leases if final or lease[0] not in held)
        return LeasesListed(self._newest, live, held, details, final)

    async def fetch(self, ids: tuple[int, ...]) -> LeasesFetched:
        """See `Source.fetch`."""
        return LeasesFetched(ids, tuple(lease for lease in self._leases if lease[0] in ids))

    async def auth(self) -> Mapping[bytes, bytes]:
        """See `Source.auth`."""
        return self._auth

    async def changed_auth(self) -> Mapping[bytes, bytes] | None:
        """See `Source.changed_auth`."""
        return None

    async def close(self) -> None:
        """See `Source.close`."""


def _revision(number: int, rows: list[Row]) -> RevisionRead:
    """Return a revision as a watch of etcd would have delivered it."""
    events = [_event(row) for row in rows]
    encoded = [event.SerializeToString() for event in events]
    leases = frozenset(event.kv.lease for event in events if event.kv.lease)
    return RevisionRead(number, encoded, sum(map(len, encoded)), leases)


def _event(row: Row) -> kvpb.Event:
    if row.is_tombstone:
        return kvpb.Event(type=kvpb.Event.DELETE, kv=kvpb.KeyValue(key=row.kv.key, mod_revision=row.revision))
    return kvpb.Event(kv=row.kv)
