"""Write a new store from versions of keys that are at hand: what was live at a revision, and the history since."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from brainctl.engine.engine import Engine
from brainctl.engine.log import manifest
from brainctl.engine.recovery.store_directory import BACKUP, is_occupied
from brainctl.errors import NotEmpty
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion

CHANGES = 1000
"""Changes from which on a commit is complete; a revision is not divided."""
_BYTES = 4 << 20
"""Bytes of changes from which on a commit is complete; a revision is not divided."""


@contextmanager
def fresh(directory: Path) -> Iterator[Path]:
    """Yield an empty directory for the files of a store, which are durably at `directory` when the block ends well.

    All of them are there or none; what was made is removed when the block raises. A temporary directory beside
    `directory` is renamed to it. Where that cannot be, since `directory` is the root of a file system, one inside it is
    emptied into it: the names that make a store of files are moved last.

    Raises:
        NotEmpty: there is something at `directory` (but for lost+found).
        OSError: the files cannot be written.
    """
    if directory.exists() and (not directory.is_dir() or is_occupied(path.name for path in directory.iterdir())):
        text = f'data-dir "{directory}" not empty or could not be read'
        raise NotEmpty(text).advised("name a directory that is missing or empty")
    fixed = directory.is_dir() and (directory.is_mount() or any(directory.iterdir()))
    home = directory if fixed else directory.parent
    home.mkdir(parents=True, exist_ok=True)
    part = Path(mkdtemp(prefix=f".{directory.name}.", dir=home))
    try:
        yield part
        if fixed:
            _move_up(part)
        else:
            part.replace(directory)
    except BaseException:
        shutil.rmtree(part)
        raise
    sync_directory(home)


def _move_up(part: Path) -> None:
    """Move what is in a directory into the one above it. A crash meanwhile leaves files without a manifest there."""
    marks = (manifest.NAME, BACKUP)
    names = [path.name for path in part.iterdir()]
    for name in sorted(names, key=lambda name: (marks.index(name) + 1 if name in marks else 0, name)):
        if name in marks:
            sync_directory(part.parent)
        (part / name).replace(part.parent / name)
    part.rmdir()


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: they cannot be synced.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(engine: Engine, commits: Iterable[Commit]) -> None:
    """Make commits durable one after the other.

    Raises:
        StoreFull: the disk is full.
        StoreFailed: any other I/O error.
    """
    for commit in commits:
        prepared = engine.encode(commit)
        engine.write(prepared)
        engine.publish(commit, prepared)


def records(engine: Engine, small: Mapping[bytes, bytes]) -> Commit:
    """Return a commit of the small records."""
    return Commit(engine.view.revision, meta=dict(small))


def base(versions: Iterable[KeyVersion], revision: int) -> Iterator[Commit]:
    """Yield commits of what was live at `revision`, in key order.

    It becomes the compacted revision, even when nothing was live.
    """
    changes: list[KeyVersion] = []
    size = 0
    for version in versions:
        changes.append(version)
        size += len(version.kv)
        if len(changes) >= CHANGES or size >= _BYTES:
            yield _imported(changes, revision)
            changes, size = [], 0
    if changes or revision:
        yield _imported(changes, revision)


def _imported(changes: list[KeyVersion], revision: int) -> Commit:
    """Return a commit of imported versions, which compacts up to their revision."""
    return Commit(revision, changes, [None] * len(changes), compact=revision, imported=True)


def history(versions: Iterable[KeyVersion], engine: Engine) -> Iterator[Commit]:
    """Yield commits of the changes behind the base in order, each made when the one before it is published."""
    commit = Commit(0)
    newer: dict[bytes, KeyVersion] = {}
    size = 0
    for change in versions:
        if change.mod_revision > commit.revision and (len(commit.changes) >= CHANGES or size >= _BYTES):
            yield commit
            commit, newer, size = Commit(0), {}, 0
        before = newer.get(change.key) or engine.view.get(change.key)
        commit.revision = change.mod_revision
        commit.changes.append(change)
        commit.before.append(before if before is not None and before.version else None)
        newer[change.key] = change
        size += len(change.kv)
    if commit.changes:
        yield commit
