"""Restore: a database file of etcd becomes a directory of brainctl, with the same revisions, versions, leases and
users.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from brainctl.backup import hard_links
from brainctl.backup.etcd_database import Database, Row, newest
from brainctl.backup.point_in_time import cut, must_have
from brainctl.engine.engine import Engine
from brainctl.engine.offline import rebuild
from brainctl.engine.offline.check import check
from brainctl.errors import SnapshotDamaged
from brainctl.mvcc.batch import lease_record
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion, tombstone
from brainctl.mvcc.lessor import encode_ttl
from brainctl.mvcc.permission import ROLES, STATE, USERS
from brainctl.mvcc.record_names import CHECKPOINT


class Restored(NamedTuple):
    """The contents of the new store."""

    revision: int
    keys: int
    migration: bytes | None = None
    """The record of a migration into the store that it was made from; None when there was none."""


Progress = Callable[[int, int], None]
"""Takes how much is done, and of how much: versions that are written, or bytes that are checked."""


def _unseen(_done: int, _total: int) -> None:
    """Show nothing."""


def restore(
    database: Database,
    directory: Path,
    bump: int = 0,
    revision: int = 0,
    *,
    written: Progress = _unseen,
    checked: Progress = _unseen,
) -> Restored:
    """Write the store, which appears at `directory` when it is complete and durable.

    Args:
        database: The file of etcd.
        directory: The store to create.
        bump: Raise the revision by this number and compact there, so that watchers of the lost store must read again.
        revision: Restore the state at this revision, except for leases and users; 0 for the newest.
        written: Receives the number of versions written.
        checked: Receives the number of bytes checked.

    Raises:
        NotEmpty: There is something at `directory`.
        HistoryGone: `revision` was compacted.
        InvalidInput: `revision` is newer than the file.
        StoreDamaged: The file is damaged.
        OSError: A file cannot be read or written.
    """
    with rebuild.fresh(directory) as part:
        engine = Engine.open(part)
        try:
            rebuild.write(engine, _commits(database, engine, bump, revision, written))
        finally:
            engine.close()
        return _proved(part, checked)


def restore_backup(source: Path, directory: Path, revision: int = 0, *, checked: Progress = _unseen) -> Restored:
    """Make a store of a backup (backup/hard_links.py), and check all of it; raise the errors of `restore`."""
    with rebuild.fresh(directory) as part:
        if revision:
            whole = Path(mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
            try:
                hard_links.assemble(source, whole)
                cut(whole, part, revision)
            finally:
                shutil.rmtree(whole)
        else:
            hard_links.assemble(source, part)
        return _proved(part, checked)


def _proved(directory: Path, checked: Progress) -> Restored:
    """Check a complete store, and return what it holds.

    Raises:
        StoreDamaged: The check found something.
    """
    report = check(directory, progress=checked)
    if report.findings or report.info is None:
        raise SnapshotDamaged(report.findings[0].replace(f"{directory}/", ""))
    return Restored(report.info.revision, report.info.keys, report.info.records.get(CHECKPOINT))


def _commits(database: Database, engine: Engine, bump: int, revision: int, written: Progress) -> Iterator[Commit]:
    """Yield the commits of the new store: small records, the state at the compacted revision, and later changes."""
    yield rebuild.records(engine, _records(database))
    rows = [row for row in database.rows() if row.value]  # etcdutl's --bump-revision leaves a row without a value
    last = max([engine.view.revision, database.compacted, *(row.revision for row in database.rows())])
    if revision:
        must_have(last, database.compacted, revision)
        last, rows = revision, [row for row in rows if row.revision <= revision]
    compacted = last + bump if bump else database.compacted
    live = newest([row for row in rows if row.revision <= compacted])
    later = [row for row in rows if row.revision > compacted]
    done, total = 0, len(live) + len(later)
    commits = chain(
        rebuild.base((_version(live[key]) for key in sorted(live)), compacted),
        rebuild.history(map(_version, later), engine),
    )
    for commit in commits:
        yield commit
        done += len(commit.changes)
        written(done, total)
    if engine.view.revision < last:
        yield Commit(last)


def _version(row: Row) -> KeyVersion:
    """Return the version that a row describes."""
    kv = row.kv
    if row.is_tombstone:
        return tombstone(kv.key, row.revision, row.sub)
    return KeyVersion(kv.key, kv.create_revision, kv.mod_revision, kv.version, kv.lease, row.value, row.sub)


def _records(database: Database) -> dict[bytes, bytes]:
    """Return the small records of leases, with their whole TTL, and of users and roles.

    Alarms are left out: they are about another disk.
    """
    records = {lease_record(lease): encode_ttl(ttl) for lease, ttl in database.leases()}
    records |= {USERS + name: record for name, record in database.users()}
    records |= {ROLES + name: record for name, record in database.roles()}
    records[STATE] = database.auth().encode()
    return records
