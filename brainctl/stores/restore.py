"""From a database file of etcd to a directory of brainctl's own: the same revisions, versions, leases and users."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from brainctl.engine.engine import Engine
from brainctl.errors import NotEmpty
from brainctl.mvcc.batch import lease_record
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion, tombstone
from brainctl.mvcc.lessor import encode_ttl
from brainctl.mvcc.permission import ROLES, STATE, USERS
from brainctl.stores.database import Database, Row, newest

_CHANGES = 1000
"""How many go into one commit, at least; a revision is not divided."""


class Restored(NamedTuple):
    """What the new store holds."""

    revision: int
    keys: int


def restore(database: Database, directory: Path, bump: int = 0) -> Restored:
    """Write the store, which appears at `directory` when it is complete and durable; NotEmpty, StoreDamaged, OSError.

    With `bump` the revision is so much higher and compacted: whoever watched the lost store has to look again.
    """
    if directory.exists() and any(directory.iterdir()):
        raise NotEmpty(f'data-dir "{directory}" not empty or could not be read')
    directory.parent.mkdir(parents=True, exist_ok=True)
    part = Path(mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        restored = _write(database, part, bump)
        part.replace(directory)
    except BaseException:
        shutil.rmtree(part)
        raise
    _sync(directory.parent)
    return restored


def _write(database: Database, directory: Path, bump: int) -> Restored:
    engine = Engine.open(directory)
    try:
        for commit in _commits(database, engine, bump):
            prepared = engine.encode(commit)
            engine.write(prepared)
            engine.publish(commit, prepared)
        return Restored(engine.revision, engine.keys)
    finally:
        engine.close()


def _commits(database: Database, engine: Engine, bump: int) -> Iterator[Commit]:
    yield Commit(engine.revision, meta=_records(database))
    rows = [row for row in database.rows() if row.value]  # without the mark that a bump has left
    last = max([engine.revision, database.compacted, *(row.revision for row in database.rows())])
    compacted = last + bump if bump else database.compacted
    yield from _base(newest([row for row in rows if row.revision <= compacted]), compacted)
    yield from _history([row for row in rows if row.revision > compacted], engine)
    if engine.revision < last:
        yield Commit(last)


def _base(live: dict[bytes, Row], compacted: int) -> Iterator[Commit]:
    """What was alive at the compaction, in key order."""
    if not compacted:
        return
    keys = sorted(live)
    for start in range(0, len(keys), _CHANGES) or (0,):
        changes = [_version(live[key]) for key in keys[start : start + _CHANGES]]
        yield Commit(compacted, changes, [None] * len(changes), compact=compacted, imported=True)


def _history(rows: list[Row], engine: Engine) -> Iterator[Commit]:
    """The revisions behind it, in order."""
    commit = Commit(0)
    newer: dict[bytes, KeyVersion] = {}
    for row in rows:
        if row.revision > commit.revision and len(commit.changes) >= _CHANGES:
            yield commit
            commit, newer = Commit(0), {}
        change = _version(row)
        before = newer.get(change.key) or engine.get(change.key)
        commit.revision = row.revision
        commit.changes.append(change)
        commit.before.append(before if before is not None and before.version else None)
        newer[change.key] = change
    if commit.changes:
        yield commit


def _version(row: Row) -> KeyVersion:
    kv = row.kv
    if row.is_tombstone:
        return tombstone(kv.key, row.revision, row.sub)
    return KeyVersion(kv.key, kv.create_revision, kv.mod_revision, kv.version, kv.lease, row.value, row.sub)


def _records(database: Database) -> dict[bytes, bytes | None]:
    """Leases, with their whole time, and users. Alarms are not taken: they are about another disk."""
    records: dict[bytes, bytes | None] = {lease_record(lease): encode_ttl(ttl) for lease, ttl in database.leases()}
    records |= {USERS + name: record for name, record in database.users()}
    records |= {ROLES + name: record for name, record in database.roles()}
    records[STATE] = database.auth().encode()
    return records


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
