"""What the engine needs of a file system, and the one of the operating system.

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
"""The unit in which a file system writes what it was given through the page cache."""
_PIECE = 1 << 20
"""The longest write past the page cache."""
FETCH_BYTES = 8 << 20
"""How much `File.fetch` asks the device for."""


class File(Protocol):
    """An open file. Every method raises OSError."""

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at `offset`; how many bytes were taken, which may be fewer than given."""

    def write_through(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """The same for whole sectors, past the page cache where that can be: then no more is written than was given."""

    @property
    def through(self) -> bool:
        """Whether `write_through` passes the page cache."""

    def read(self, length: int, offset: int) -> bytes:
        """Up to `length` bytes at `offset`; fewer at the end of the file."""

    def read_through(self, length: int, offset: int) -> bytes:
        """The same, past the page cache where that can be: what the medium holds."""

    def sync(self) -> None:
        """Make the bytes written and the size durable."""

    def allocate(self, size: int) -> None:
        """Grow the file to `size` bytes, reserving the space; the new bytes read as zeros."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, or grow it with zeros that have no space reserved."""

    def size(self) -> int:
        """The length in bytes."""

    def links(self) -> int:
        """How many names the file has."""

    def data_from(self, offset: int) -> int:
        """Where the first byte from `offset` on lies that may be other than zero; the size when there is none."""

    def fetch(self, offset: int) -> None:
        """Bytes from `offset` on will be read soon, those of them that are not in memory from the device."""

    def map(self) -> mmap.mmap:
        """The whole file as memory that shows later writes; the file must not be empty, nor be cut afterwards."""

    def close(self) -> None:
        """Let go of the file; maps of it stay usable."""


class Lock(Protocol):
    """A lock on a file, held until released or until the process ends."""

    def note(self, text: bytes) -> None:
        """Replace the content of the locked file, for those who find it taken."""

    def release(self) -> None:
        """Let others have it."""


class FileSystem(Protocol):
    """Files by path. Every method raises OSError."""

    def make_directory(self, path: str) -> None:
        """Create a directory with mode 0700, and its parents, durably; one that is there stays as it is."""

    def create(self, path: str) -> File:
        """A new empty file with mode 0600, open for reading and writing; FileExistsError."""

    def open(self, path: str, *, write: bool = True) -> File:
        """A file that exists."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what had it."""

    def unlink(self, path: str) -> None:
        """Remove a name."""

    def names(self, directory: str) -> list[str]:
        """The names in a directory, sorted."""

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""

    def lock(self, path: str) -> Lock | None:
        """Take the exclusive lock of a file, creating it; None when another holds it."""


class OsFile:
    """A File by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._direct = -1
        """The file once more, with O_DIRECT; -2 when that cannot be had."""
        self._buffer: mmap.mmap | None = None
        """Memory that is aligned as O_DIRECT wants it."""

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """As in File."""
        return os.pwrite(self._descriptor, data, offset)

    def write_through(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """As in File."""
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
        """As in File."""
        return self._direct >= 0

    def _open_direct(self) -> None:
        try:
            self._direct = _open(f"/proc/self/fd/{self._descriptor}", os.O_RDWR | os.O_DIRECT)
            self._buffer = mmap.mmap(-1, _PIECE)
        except OSError:
            self._direct = -2

    def read(self, length: int, offset: int) -> bytes:
        """As in File."""
        return os.pread(self._descriptor, length, offset)

    def read_through(self, length: int, offset: int) -> bytes:
        """As in File."""
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
        """As in File."""
        os.fdatasync(self._descriptor)

    def allocate(self, size: int) -> None:
        """As in File."""
        os.posix_fallocate(self._descriptor, 0, size)

    def truncate(self, size: int) -> None:
        """As in File."""
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        """As in File."""
        return os.fstat(self._descriptor).st_size

    def links(self) -> int:
        """As in File."""
        return os.fstat(self._descriptor).st_nlink

    def data_from(self, offset: int) -> int:
        """As in File: by what the file system knows of space that was never written."""
        try:
            return os.lseek(self._descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            return self.size() if error.errno == errno.ENXIO else offset

    def fetch(self, offset: int) -> None:
        """As in File."""
        os.posix_fadvise(self._descriptor, offset, FETCH_BYTES, os.POSIX_FADV_WILLNEED)

    def map(self) -> mmap.mmap:
        """As in File."""
        # A map has a descriptor of its own.
        return SPARE.opened(lambda: mmap.mmap(self._descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ))

    def close(self) -> None:
        """As in File."""
        os.close(self._descriptor)
        if self._direct >= 0:
            os.close(self._direct)
        self._direct = -2


class OsLock:
    """A Lock by flock(2), which ends with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def note(self, text: bytes) -> None:
        """As in Lock."""
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """As in Lock."""
        os.close(self._descriptor)


class OsFileSystem:
    """The file system of the machine."""

    def make_directory(self, path: str) -> None:
        """As in FileSystem."""
        if os.path.isdir(path):  # noqa: PTH112 - paths are strings throughout the engine
            return
        parent = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
        self.make_directory(parent)
        os.mkdir(path, 0o700)  # noqa: PTH102
        self.sync_directory(parent)

    def create(self, path: str) -> OsFile:
        """As in FileSystem."""
        return OsFile(_open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def open(self, path: str, *, write: bool = True) -> OsFile:
        """As in FileSystem."""
        return OsFile(_open(path, os.O_RDWR if write else os.O_RDONLY))

    def rename(self, old: str, new: str) -> None:
        """As in FileSystem."""
        os.rename(old, new)  # noqa: PTH104

    def unlink(self, path: str) -> None:
        """As in FileSystem."""
        os.unlink(path)  # noqa: PTH108

    def names(self, directory: str) -> list[str]:
        """As in FileSystem."""
        return sorted(os.listdir(directory))  # noqa: PTH208

    def sync_directory(self, path: str) -> None:
        """As in FileSystem."""
        descriptor = _open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: str) -> OsLock | None:
        """As in FileSystem."""
        descriptor = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return OsLock(descriptor)


def _open(path: str, flags: int) -> int:
    """Open a file, if need be with a descriptor that was kept back; OSError."""
    return SPARE.opened(lambda: os.open(path, flags | os.O_CLOEXEC, 0o600))


def create_anew(fs: FileSystem, path: str) -> File:
    """A new file, in place of what an attempt that ran out of space may have left there. OSError."""
    try:
        return fs.create(path)
    except FileExistsError:
        fs.unlink(path)
        return fs.create(path)


def write_all(file: File, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write every byte; OSError when the file system stops taking them."""
    _write_rest(file.write, data, offset)


def write_through(file: File, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write every byte of whole sectors, past the page cache where that can be; OSError as in `write_all`."""
    _write_rest(file.write_through, data, offset)


def block_bytes(offset: int, length: int) -> int:
    """What a write through the page cache writes: all of the blocks that it touches."""
    return -(-(offset + length) // BLOCK) * BLOCK - offset // BLOCK * BLOCK


def _write_rest(
    write: Callable[[bytes | bytearray | memoryview, int], int], data: bytes | bytearray | memoryview, offset: int
) -> None:
    taken = write(data, offset)
    if taken == len(data):
        return
    rest = memoryview(data)
    while taken < len(rest):
        more = write(rest[taken:], offset + taken)
        if more <= 0:
            raise OSError(5, "the file system takes no more bytes")
        taken += more
