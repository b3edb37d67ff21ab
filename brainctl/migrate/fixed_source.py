"""A source of migrations that never changes: a history of keys in memory, with leases and users.

`snapshot_source.py` reads one from a file of etcd. A map of keys and values is enough (`FixedSource.of_keys`).
"""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from brainctl.backup.etcd_database import Row, newest
from brainctl.etcdpb import kv_pb2 as kvpb
from brainctl.migrate.machine.events import (
    BaseChosen,
    Lease,
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
from brainctl.stores.store import Store

FIRST = 2
"""The revision of the first write into an empty etcd."""
PAGE_BYTES = 1 << 20
"""The bytes of a page, unless it has a single key."""
REVISIONS = 500
"""The most revisions that are delivered at once."""


class Content(NamedTuple):
    """Keys with their history, leases and users."""

    number: int
    """64 bits made of the content, by which it is recognised when a migration goes on."""
    compacted: int
    """The oldest revision that can be copied."""
    newest: int
    rows: Sequence[Row]
    """The changes in the order of their revisions, from the compacted one on."""
    leases: tuple[Lease, ...] = ()
    auth: Mapping[bytes, bytes] = {}
    """The small records of users, roles and the switch of authentication."""


class FixedSource:
    """The `Source` over what never changes, and is held in memory."""

    store: Store | None = None

    def __init__(self, content: Content, name: str = "") -> None:
        """Create a source of some content.

        Args:
            content: Everything that is copied.
            name: The source in words.
        """
        self._name = name
        self._content = content
        self._rows = [row for row in content.rows if row.value]  # etcdutl's --bump-revision leaves one without a value
        self._base = 0
        """The revision of which `_live` has the keys."""
        self._live: dict[bytes, Row] = {}
        self._keys: list[bytes] = []
        """The keys of `_live`, in order."""

    @classmethod
    def of_keys(cls, name: str, values: Mapping[bytes, bytes]) -> "FixedSource":
        """Return a source with these values by key, all of them written at one revision.

        Args:
            name: The source in words, for messages and the report.
            values: The values by key. A migration goes on only from a source with the same.
        """
        digest = blake2b(digest_size=8)
        rows: list[Row] = []
        for number, (key, value) in enumerate(sorted(values.items())):
            kv = kvpb.KeyValue(key=key, value=value, create_revision=FIRST, mod_revision=FIRST, version=1)
            rows.append(Row(b"%b_%b" % (FIRST.to_bytes(8), number.to_bytes(8)), kv.SerializeToString()))
            digest.update(rows[-1].value)
        return cls(Content(int.from_bytes(digest.digest()), FIRST, FIRST, rows), name)

    def __str__(self) -> str:
        return self._name

    async def cluster(self) -> int:
        """See `Source.cluster`: a number of the content, so that a migration goes on from the same file only."""
        return self._content.number

    async def begin(self, record: Record) -> None:
        """See `Source.begin`; the number of the content has proved that nothing has changed."""

    async def revision(self) -> int:
        """See `Source.revision`."""
        return self._content.newest

    async def look(self) -> SourceAt:
        """See `Source.look`."""
        return SourceAt(self._content.newest)

    async def longer_key(self, size: int) -> bytes | None:
        """See `Source.longer_key`; those of the history count as well."""
        return next((row.kv.key for row in self._rows if len(row.kv.key) > size), None)

    async def choose_base(self, attempt: int, *, oldest: bool) -> BaseChosen | SourceCompacted:
        """See `Source.choose_base`; the key space is not cut."""
        base = self._content.compacted if oldest else self._content.newest
        await self._load(base)
        return BaseChosen(attempt, base, (), len(self._keys))

    async def page(self, action: ReadPage) -> PageRead:
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
        return PageRead(action.attempt, action.span, action.revision, kvs, size, frozenset(leases - {0}), following)

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
        if not self._rows or self._rows[-1].revision < self._content.newest:
            revisions.append(RevisionRead(self._content.newest, [], 0, frozenset()))
        yield Streamed(attempt, revisions)
        await asyncio.Event().wait()

    def has_stalled(self, revision: int) -> bool:
        """See `Source.has_stalled`."""
        del revision
        return False

    async def leases(self, held: frozenset[int], *, final: bool) -> LeasesListed:
        """See `Source.leases`; the whole TTL of each remains."""
        live = frozenset(lease for lease, _, _ in self._content.leases)
        details = tuple(lease for lease in self._content.leases if final or lease[0] not in held)
        return LeasesListed(self._content.newest, live, held, details, final)

    async def fetch(self, ids: tuple[int, ...]) -> LeasesFetched:
        """See `Source.fetch`."""
        return LeasesFetched(ids, tuple(lease for lease in self._content.leases if lease[0] in ids))

    async def auth(self) -> Mapping[bytes, bytes]:
        """See `Source.auth`."""
        return self._content.auth

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
