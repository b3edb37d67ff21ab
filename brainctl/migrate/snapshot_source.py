"""A database file of etcd as the source of a migration: a snapshot, or `member/snap/db` of an etcd that is stopped.

The copy has what the file has: the history from its compacted revision on, leases with their whole TTL, users and
roles. The etcd that wrote the file is not contacted. The keys and values are held in memory.
"""

import asyncio
from pathlib import Path

from brainctl.backup.etcd_database import Database, naming, open_database
from brainctl.errors import InvalidInput, SnapshotDamaged, next_step
from brainctl.migrate.fixed_source import Content, FixedSource
from brainctl.stores.auth import Auth
from brainctl.stores.urls import StoreUrl


async def open_source(url: StoreUrl) -> FixedSource:
    """Open the file that a URL names, and read it.

    Raises:
        InvalidInput: It cannot be read.
        StoreInUse: An etcd has it open.
        StoreDamaged: It is no database of etcd, or its content is not what its digest says.
    """
    return await asyncio.to_thread(_read, url.path)


def _read(path: Path) -> FixedSource:
    try:
        with naming(path):
            database = open_database(path)
            digests = database.digests()
            if digests is not None and digests[0] != digests[1]:
                raise SnapshotDamaged("the content is not what the SHA-256 at its end says: save the snapshot again")
            return FixedSource(content_of(database))
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}").advised(next_step(error)) from error


def content_of(database: Database) -> Content:
    """Return all rows of a database.

    Raises:
        StoreDamaged: A record is damaged.
    """
    compacted = max(database.compacted, 1)
    rows = list(database.rows())
    return Content(
        number=database.number(),
        compacted=compacted,
        newest=max([compacted, *(row.revision for row in rows[-1:])]),
        rows=rows,
        leases=tuple((lease, ttl, ttl) for lease, ttl in database.leases()),
        auth=Auth.of_database(database).records(),
    )
