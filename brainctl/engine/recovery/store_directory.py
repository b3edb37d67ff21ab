"""Distinguish a directory that is a store, or may become one, from one that belongs to another program.

A new store is made in a directory that is missing or empty, and nowhere else: beside the files of another program it
would be served as if that program's data were gone.
"""

from collections.abc import Iterable
from pathlib import Path

from brainctl.engine import write_history
from brainctl.engine.format.file_names import is_piece, is_spare
from brainctl.engine.log import manifest
from brainctl.engine.vfs import directory_lock
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import InvalidInput

BACKUP = "BACKUP"
"""The file in which a backup describes itself (backup/hard_links.py)."""
LOST_AND_FOUND = "lost+found"
"""The directory that a file system makes in its root, which is often where a store is to be."""
_SNAPSHOT = "`brainctl snapshot restore FILE --data-dir DIR` makes a store of a snapshot of it"
_ETCD = f"`brainctl migrate --from etcd://HOST:PORT --to file://DIR` copies it while that etcd runs, {_SNAPSHOT}"
_MARKS = (
    ({BACKUP}, "it is a backup of new files alone; `brainctl snapshot restore` makes a store of it and its base"),
    ({"member"}, f"it is the data directory of an etcd; {_ETCD}"),
    ({"snap", "wal"}, f"it is the `member` directory of an etcd; {_ETCD}"),
    ({"db"}, f"it has a file `db`, as the snapshots of an etcd do; {_SNAPSHOT}"),
)
"""Names that show what a directory without a manifest is."""
_LEFTOVERS = frozenset(
    {LOST_AND_FOUND, directory_lock.NAME, write_history.NAME, f"{write_history.NAME}.new", f"{manifest.NAME}.new"}
)


def must_be_ours(directory: str, fs: FileSystem) -> None:
    """Check that `directory` is a store, or free for one: missing, or empty.

    lost+found, and what an unfinished attempt to make a store leaves, do not count. The error says what the directory
    is, and which command helps.

    Raises:
        InvalidInput: it is neither.
        OSError: it cannot be read.
    """
    try:
        names = fs.names(directory)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise InvalidInput(f"{directory} is {_file(directory, fs)}; nothing was changed") from None
    found = _foreign(names)
    if found:
        raise InvalidInput(f"{directory} is no store of brainctl: {found}; nothing was changed")


def must_be_store(directory: Path) -> None:
    """Check that there is a store in `directory`, which is only to be read or is to exist already.

    Raises:
        InvalidInput: there is none.
    """
    if not (directory / manifest.NAME).exists():
        raise no_store(directory)


def no_store(directory: Path) -> InvalidInput:
    """Return the error for a command that needs a store in `directory`, where there is none."""
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError as error:
        return InvalidInput(f"there is no store in {directory}: {(error.strerror or str(error)).lower()}")
    what = _foreign(names) or "the directory is empty; `brainctl store create DIR` makes a new store"
    return InvalidInput(f"there is no store in {directory}: {what}")


def has_pieces(directory: Path) -> bool:
    """Return whether there are files of a store in `directory`, also when its manifest is lost."""
    return directory.is_dir() and any(_is_piece(path.name) for path in directory.iterdir())


def other_tenant(names: Iterable[str]) -> str:
    """Return what else uses the directory of a store, as a sentence; empty when nothing does."""
    return "an etcd has made its own, separate data in it (`member`)" if "member" in names else ""


def is_occupied(names: Iterable[str]) -> bool:
    """Return whether anything but lost+found is among the names of a directory."""
    return any(name != LOST_AND_FOUND for name in names)


def _foreign(names: Iterable[str]) -> str:
    """Return what a directory with these names is; empty for a store, or where one may be made."""
    known = set(names)
    if manifest.NAME in known:
        return ""
    for mark, what in _MARKS:
        if mark <= known:
            return what
    others = sorted(name for name in known - _LEFTOVERS if not _is_piece(name) and not is_spare(name))
    if not others:
        return ""
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"it holds {others[0]!r}{more}; a new store needs a directory that is missing or empty"


def _is_piece(name: str) -> bool:
    """Return whether a file with this name is one of a store."""
    return name == manifest.NAME or is_piece(name)


def _file(path: str, fs: FileSystem) -> str:
    file = fs.open(path, write=False)
    try:
        head = file.read(24, 0)
    finally:
        file.close()
    if head[16:20] == b"\xed\xda\x0c\xed":  # bbolt's magic number, little endian
        return f"a database file of etcd; {_SNAPSHOT.replace('a snapshot of it', 'it')}"
    return "a file, not a directory"
