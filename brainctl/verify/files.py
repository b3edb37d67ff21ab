"""Files that hold what a store held: snapshots and data directories of etcd, backups, lists of keys.

Everything but a list is made a store in a temporary directory, and compared as such. The file itself is only read.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from brainctl.backup import hard_links
from brainctl.backup.etcd_database import naming, open_database
from brainctl.backup.restore import Restored, restore, restore_backup
from brainctl.clock import ManualClock
from brainctl.errors import InvalidInput
from brainctl.stores.in_process import open_directory
from brainctl.stores.unfinished import Admission
from brainctl.stores.urls import of_directory
from brainctl.verify.exported import MARK, KeyList
from brainctl.verify.reading import StoreReader
from brainctl.verify.scope import Scope
from brainctl.verify.side import Side

_DATABASES = ("member/snap/db", "snap/db", "db")
"""Paths of the database in a data directory of etcd, and in its directories."""


def is_copy(path: Path) -> bool:
    """Return whether `path` is a file, or a directory of another kind than a store of brainctl."""
    return path.is_file() or (path / hard_links.NAME).exists() or _database(path) is not None


async def open_copy(path: Path, scope: Scope, stack: AsyncExitStack, admission: Admission) -> Side:
    """Open a file or a directory for which `is_copy` returns True; `stack` closes what was opened.

    A backup of a store into which a migration had not finished its copy is read with a warning.

    Raises:
        InvalidInput: It is of no known kind.
        StoreInUse: An etcd has it open.
        StoreDamaged: It is not as it was written.
        OSError: It cannot be read, or there is no room for the temporary store.
    """
    make = _maker(path)
    if make is None:
        return KeyList(path, scope)
    directory = Path(stack.enter_context(TemporaryDirectory(prefix="brainctl-verify-"))) / "store"
    restored = await asyncio.to_thread(make, directory)
    admission.to_read(restored.migration, of_directory(str(path)))
    store = open_directory(directory, ManualClock())
    stack.push_async_callback(store.close)
    return StoreReader(store, stands=True)


def _maker(path: Path) -> Callable[[Path], Restored] | None:
    """Return what makes a store of a file or a directory; None for a list of keys.

    Raises:
        InvalidInput: It is empty.
        StoreInUse: An etcd has it open.
        StoreDamaged: It is no database file.
        OSError: It cannot be read.
    """
    if path.is_file() and _head(path).startswith(MARK):
        return None
    database = path if path.is_file() else _database(path)
    if database is None:
        return partial(restore_backup, path)
    with naming(database):
        opened = open_database(database)

    def make(directory: Path) -> Restored:
        with naming(database):
            return restore(opened, directory)

    return make


def _database(path: Path) -> Path | None:
    """Return the database in a directory of etcd; None when there is none."""
    found = [path / name for name in _DATABASES if (path / name).is_file()]
    return found[0] if found else None


def _head(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises:
        InvalidInput: It is empty.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise InvalidInput(f"{path} is empty")
    return head
