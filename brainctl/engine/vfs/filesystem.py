"""The interface of a file system, as the engine needs it, and its implementation on the operating system.

Durability contract, which every FileSystem keeps and which the engine relies on:

* bytes written are durable once `File.sync` has returned; before that a crash keeps any, none or some of them, in
  units of whole 512-byte sectors, in any order;
* a sector that is written again with the bytes that it holds already keeps them through a crash;
* the creation, renaming and removal of a name are durable once `FileSystem.sync_directory` has returned; before
  that a crash keeps or loses each; a rename is never half done;
* a failed `sync` leaves the bytes since the last good one unknown for ever: calling it again proves nothing.
"""

import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from typing import Protocol

from brainctl.engine.vfs.spare_descriptors import SPARE

BLOCK = 4096
"""Bytes: the unit in which a file system writes what it was given through the page cache."""
_PIECE = 1 << 20
"""Bytes of the longest write past the page cache."""
FETCH_BYTES = 8 << 20
"""Bytes that `File.fetch` asks the device for."""


class File(Protocol):
    """An open file. Every method raises OSError."""

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at `offset`, and return how many bytes were taken, which may be fewer than given."""

    def write_through(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write whole sectors, past the page cache where possible, and return how many bytes were taken.

        Past the page cache no more is written to the device than was given; else whole blocks are.
        """

    @property
    def through(self) -> bool:
        """Return whether `write_through` passes the page cache."""

    def read(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes at `offset`; fewer at the end of the file."""

    def read_through(self, length: int, offset: int) -> bytes:
        """Read like `read`, but past the page cache where possible: the bytes that the disk holds."""

    def sync(self) -> None:
        """Make the bytes written and the size durable."""

    def allocate(self, size: int) -> None:
        """Grow the file to `size` bytes, reserving the space; the new bytes read as zeros."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, or grow it with zeros that have no space reserved."""

    def size(self) -> int:
        """Return the length in bytes."""

    def links(self) -> int:
        """Return how many names (hard links) the file has."""

    def data_from(self, offset: int) -> int:
        """Return the offset of the first byte from `offset` on that may not be zero; the size when there is none."""

    def fetch(self, offset: int) -> None:
        """Ask the device for the FETCH_BYTES from `offset` on, which will be read soon; do not wait for them."""

    def map(self) -> mmap.mmap:
        """Map the whole file to memory, which shows later writes. The file must not be empty, nor be cut afterwards."""

    def close(self) -> None:
        """Close the file; maps of it stay usable."""


class Lock(Protocol):
    """A lock on a file, held until released or until the process ends."""

    def write(self, text: bytes) -> None:
        """Replace the content of the locked file, which another process reads when it finds the lock taken."""

    def release(self) -> None:
        """Release the lock."""


class FileSystem(Protocol):
    """Files by path. Every method raises OSError."""

    def make_directory(self, path: str) -> None:
        """Create a directory with mode 0700, and its parents; durable on return. One that exists stays as it is."""

    def create(self, path: str) -> File:
        """Create an empty file with mode 0600, and open it for reading and writing.

        Raises:
            FileExistsError: The name is taken.
        """

    def open(self, path: str, *, write: bool = True) -> File:
        """Open a file that exists."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing the file that had it."""

    def unlink(self, path: str) -> None:
        """Remove a name."""

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, sorted."""

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""

    def lock(self, path: str) -> Lock | None:
        """Take the exclusive lock of a file, creating it; return None when another process holds it."""


class OsFile:
    """A File by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._direct = -1
        """A second descriptor of the file, with O_DIRECT; -1 before it is needed, -2 when it cannot be had."""
        self._buffer: mmap.mmap | None = None
        """Memory that is aligned as O_DIRECT wants it."""

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """See `File.write`."""
        return os.pwrite(self._descriptor, data, offset)

    def write_through(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """See `File.write_through`."""
        if self._direct == -1:
            self._open_direct()
        if self._direct < 0:
            return self.write(data, offset)
        assert self._buffer is not None
        size = min(len(data), _PIECE)
        self._buffer[:size] = data if size == len(data) else memoryview(data)[:size]
        try:
            return os.pwrite(self._direct, memoryview(self._buffer)[:size], offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        os.close(self._direct)  # the device wants larger units than sectors of 512 bytes
        self._direct = -2
        return self.write(data, offset)

    @property
    def through(self) -> bool:
        """See `File.through`."""
        return self._direct >= 0

    def _open_direct(self) -> None:
        try:
            self._direct = _open(f"/proc/self/fd/{self._descriptor}", os.O_RDWR | os.O_DIRECT)
            self._buffer = mmap.mmap(-1, _PIECE)
        except OSError:
            self._direct = -2

    def read(self, length: int, offset: int) -> bytes:
        """See `File.read`."""
        return os.pread(self._descriptor, length, offset)

    def read_through(self, length: int, offset: int) -> bytes:
        """See `File.read_through`."""
        first = offset // BLOCK * BLOCK
        buffer = mmap.mmap(-1, block_bytes(offset, length))
        try:
            direct = _open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_DIRECT)
        except OSError:
            return self.read(length, offset)
        try:
            got = os.preadv(direct, [buffer], first)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return self.read(length, offset)
        finally:
            os.close(direct)
        return buffer[offset - first : min(got, offset - first + length)]

    def sync(self) -> None:
        """See `File.sync`."""
        os.fdatasync(self._descriptor)

    def allocate(self, size: int) -> None:
        """See `File.allocate`."""
        os.posix_fallocate(self._descriptor, 0, size)

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        """See `File.size`."""
        return os.fstat(self._descriptor).st_size

    def links(self) -> int:
        """See `File.links`."""
        return os.fstat(self._descriptor).st_nlink

    def data_from(self, offset: int) -> int:
        """See `File.data_from`; it asks the file system which space was never written."""
        try:
            return os.lseek(self._descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            return self.size() if error.errno == errno.ENXIO else offset

    def fetch(self, offset: int) -> None:
        """See `File.fetch`."""
        os.posix_fadvise(self._descriptor, offset, FETCH_BYTES, os.POSIX_FADV_WILLNEED)

    def map(self) -> mmap.mmap:
        """See `File.map`."""
        # mmap keeps a duplicate of the descriptor, so it may find none left.
        return SPARE.opened(lambda: mmap.mmap(self._descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ))

    def close(self) -> None:
        """See `File.close`."""
        os.close(self._descriptor)
        if self._direct >= 0:
            os.close(self._direct)
        self._direct = -2


class OsLock:
    """A Lock by flock(2), which ends with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: bytes) -> None:
        """See `Lock.note`."""
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """See `Lock.release`."""
        os.close(self._descriptor)


class OsFileSystem:
    """The file system of the machine."""

    def make_directory(self, path: str) -> None:
        """See `FileSystem.make_directory`."""
        if os.path.isdir(path):  # noqa: PTH112 - paths are strings throughout the engine
            return
        parent = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
        self.make_directory(parent)
        os.mkdir(path, 0o700)  # noqa: PTH102
        self.sync_directory(parent)

    def create(self, path: str) -> OsFile:
        """See `FileSystem.create`."""
        return OsFile(_open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def open(self, path: str, *, write: bool = True) -> OsFile:
        """See `FileSystem.open`."""
        return OsFile(_open(path, os.O_RDWR if write else os.O_RDONLY))

    def rename(self, old: str, new: str) -> None:
        """See `FileSystem.rename`."""
        os.rename(old, new)  # noqa: PTH104

    def unlink(self, path: str) -> None:
        """See `FileSystem.unlink`."""
        os.unlink(path)  # noqa: PTH108

    def names(self, directory: str) -> list[str]:
        """See `FileSystem.names`."""
        return sorted(os.listdir(directory))  # noqa: PTH208

    def sync_directory(self, path: str) -> None:
        """See `FileSystem.sync_directory`."""
        descriptor = _open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: str) -> OsLock | None:
        """See `FileSystem.lock`."""
        descriptor = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return OsLock(descriptor)


def _open(path: str, flags: int) -> int:
    """Open a file, using a descriptor from the reserve when the process has no other left.

    Raises:
        OSError: The file cannot be opened.
    """
    return SPARE.opened(lambda: os.open(path, flags | os.O_CLOEXEC, 0o600))


def create_anew(fs: FileSystem, path: str) -> File:
    """Create a file, replacing one that an attempt that ran out of space may have left there.

    Raises:
        OSError: The file cannot be created.
    """
    try:
        return fs.create(path)
    except FileExistsError:
        fs.unlink(path)
        return fs.create(path)


def write_all(file: File, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write every byte; nothing is durable before `File.sync`.

    Raises:
        OSError: A write fails, or the file system takes no more bytes.
    """
    _write_rest(file.write, data, offset)


def write_through(file: File, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write every byte of whole sectors, past the page cache where possible; nothing is durable before `File.sync`.

    Raises:
        OSError: A write fails, or the file system takes no more bytes.
    """
    _write_rest(file.write_through, data, offset)


def block_bytes(offset: int, length: int) -> int:
    """Return how many bytes a write through the page cache writes: all of the blocks that it touches."""
    return -(-(offset + length) // BLOCK) * BLOCK - offset // BLOCK * BLOCK


def _write_rest(
    write: Callable[[bytes | bytearray | memoryview, int], int], data: bytes | bytearray | memoryview, offset: int
) -> None:
    """Write every byte with `write`, again for what it has not taken."""
    taken = write(data, offset)
    if taken == len(data):
        return
    rest = memoryview(data)
    while taken < len(rest):
        more = write(rest[taken:], offset + taken)
        if more <= 0:
            raise OSError(5, "the file system takes no more bytes")
        taken += more
