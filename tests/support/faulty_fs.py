"""A file system that fails on demand: for tests."""

import mmap

from brainctl.engine.vfs.filesystem import File, FileSystem, Lock


class FaultyFileSystem:
    """A FileSystem that passes calls on to another, and fails one of them.

    `fail(kind, n, error)` makes the nth call of a kind from now on raise OSError(error); the kinds are the names of
    the methods of FileSystem and File. An error of 0 makes a write take half of its bytes.
    """

    def __init__(self, inner: FileSystem) -> None:
        self.inner = inner
        self.calls: dict[str, int] = {}
        """How often each kind was called."""
        self._faults: dict[tuple[str, int], int] = {}
        self.hit = False
        """Whether a call was made to fail."""

    def fail(self, kind: str, number: int, error: int) -> None:
        """Plan a fault, counting from the next call of that kind as 1."""
        self._faults[kind, self.calls.get(kind, 0) + number] = error

    def check(self, kind: str) -> bool:
        """Count a call; OSError when it was planned to fail, True when it is to be a short write."""
        number = self.calls[kind] = self.calls.get(kind, 0) + 1
        error = self._faults.get((kind, number))
        if error:
            self.hit = True
            raise OSError(error, "planned fault", kind)
        self.hit = self.hit or error is not None
        return error == 0

    def make_directory(self, path: str) -> None:
        """As in FileSystem."""
        self.check("make_directory")
        self.inner.make_directory(path)

    def create(self, path: str) -> File:
        """As in FileSystem."""
        self.check("create")
        return _FaultyFile(self, self.inner.create(path))

    def open(self, path: str, *, write: bool = True) -> File:
        """As in FileSystem."""
        self.check("open")
        return _FaultyFile(self, self.inner.open(path, write=write))

    def rename(self, old: str, new: str) -> None:
        """As in FileSystem."""
        self.check("rename")
        self.inner.rename(old, new)

    def unlink(self, path: str) -> None:
        """As in FileSystem."""
        self.check("unlink")
        self.inner.unlink(path)

    def names(self, directory: str) -> list[str]:
        """As in FileSystem."""
        self.check("names")
        return self.inner.names(directory)

    def sync_directory(self, path: str) -> None:
        """As in FileSystem."""
        self.check("sync_directory")
        self.inner.sync_directory(path)

    def lock(self, path: str) -> Lock | None:
        """As in FileSystem."""
        self.check("lock")
        return self.inner.lock(path)


class _FaultyFile:
    def __init__(self, system: FaultyFileSystem, inner: File) -> None:
        self._system = system
        self._inner = inner

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self._system.check("write"):
            data = memoryview(data)[: len(data) // 2]
        return self._inner.write(data, offset)

    def write_through(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self._system.check("write"):
            data = memoryview(data)[: len(data) // 2]
        return self._inner.write_through(data, offset)

    @property
    def through(self) -> bool:
        return self._inner.through

    def read(self, length: int, offset: int) -> bytes:
        self._system.check("read")
        return self._inner.read(length, offset)

    def read_through(self, length: int, offset: int) -> bytes:
        self._system.check("read")
        return self._inner.read_through(length, offset)

    def sync(self) -> None:
        self._system.check("sync")
        self._inner.sync()

    def allocate(self, size: int) -> None:
        self._system.check("allocate")
        self._inner.allocate(size)

    def truncate(self, size: int) -> None:
        self._system.check("truncate")
        self._inner.truncate(size)

    def size(self) -> int:
        return self._inner.size()

    def links(self) -> int:
        return self._inner.links()

    def data_from(self, offset: int) -> int:
        return self._inner.data_from(offset)

    def fetch(self, offset: int) -> None:
        self._inner.fetch(offset)

    def map(self) -> mmap.mmap:
        self._system.check("map")
        return self._inner.map()

    def close(self) -> None:
        self._inner.close()
