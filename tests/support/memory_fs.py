"""A file system in memory that can lose what a crash may lose: for tests.

`MemoryFileSystem` keeps, beside what programs see, what is durable, and makes crash images of the two: every sector
written since the last sync of its file is kept, lost, or left as an earlier write had it; every change of a name
since the last sync of its directory is kept or lost.
"""

import mmap
from collections.abc import Callable
from posixpath import basename, dirname
from random import Random

from brainctl.engine.sector import SECTOR
from brainctl.engine.vfs.filesystem import File, Lock


class _Node:
    """The content of a file, whatever its names."""

    def __init__(self, durable: bytes = b"") -> None:
        self.data = bytearray(durable)
        self.shared: mmap.mmap | None = None
        """Holds the content instead of `data` once the file was mapped."""
        self.durable = durable
        self.dirty: dict[int, list[bytes]] = {}
        """By sector number, what it was made to hold since the last sync, oldest first."""

    def size(self) -> int:
        return len(self.data) if self.shared is None else len(self.shared)

    def read(self, length: int, offset: int) -> bytes:
        source = self.data if self.shared is None else self.shared
        return bytes(source[offset : offset + length])

    def write(self, data: bytes, offset: int) -> None:
        if not data:
            return
        if offset + len(data) > self.size():
            self.resize(offset + len(data))
        target = self.data if self.shared is None else self.shared
        target[offset : offset + len(data)] = data
        for sector in range(offset // SECTOR, (offset + len(data) - 1) // SECTOR + 1):
            self.dirty.setdefault(sector, []).append(self.read(SECTOR, sector * SECTOR))

    def resize(self, size: int) -> None:
        if size == self.size():
            return
        assert self.shared is None, "a mapped file keeps its size"
        self.data = self.data[:size].ljust(size, b"\0")
        for sector in [number for number in self.dirty if number * SECTOR >= size]:
            del self.dirty[sector]

    def map(self) -> mmap.mmap:
        if self.shared is None:
            self.shared = mmap.mmap(-1, len(self.data))
            self.shared[:] = bytes(self.data)
            self.data = bytearray()
        return self.shared

    def sync(self) -> None:
        self.durable = self.read(self.size(), 0)
        self.dirty.clear()

    def crashed(self, rng: Random) -> bytes:
        """What the backend may hold now: the size is kept or lost, and each unsynced sector for itself."""
        size = rng.choice((self.size(), len(self.durable)))
        content = bytearray(self.durable[:size].ljust(size, b"\0"))
        mood = rng.random()
        for sector, states in self.dirty.items():
            at = sector * SECTOR
            if at < size and rng.random() < mood:
                state = rng.choice(states)[: size - at]
                content[at : at + len(state)] = state
        return bytes(content)


class _MemoryFile:
    def __init__(self, system: "MemoryFileSystem", node: _Node) -> None:
        self._system = system
        self._node = node

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        self._node.write(bytes(data), offset)
        return len(data)

    write_through = write
    through = True

    def read(self, length: int, offset: int) -> bytes:
        return self._node.read(length, offset)

    read_through = read

    def sync(self) -> None:
        self._system.before_sync()
        if not self._system.lies:
            self._node.sync()

    def allocate(self, size: int) -> None:
        self._node.resize(max(size, self._node.size()))

    def truncate(self, size: int) -> None:
        self._node.resize(size)

    def size(self) -> int:
        return self._node.size()

    def links(self) -> int:
        return 1

    def data_from(self, offset: int) -> int:
        return offset

    def fetch(self, offset: int) -> None:
        pass

    def map(self) -> mmap.mmap:
        return self._node.map()

    def close(self) -> None:
        pass


class _MemoryLock:
    def __init__(self, held: set[str], path: str, node: _Node) -> None:
        self._held, self._path, self._node = held, path, node

    def write(self, text: bytes) -> None:
        self._node.data[:] = text

    def release(self) -> None:
        self._held.discard(self._path)


class MemoryFileSystem:
    """A FileSystem in memory. `lies` makes every sync of a file answer well and do nothing."""

    def __init__(self, *, lies: bool = False) -> None:
        self.lies = lies
        self.before_sync: Callable[[], None] = lambda: None
        """Called at the beginning of each sync, of file or directory."""
        self._names: dict[str, _Node] = {}
        self._durable: dict[str, _Node] = {}
        self._changes: list[dict[str, _Node | None]] = []
        """Changes of names since the last sync of their directory, oldest first; a rename is one change."""
        self._locked: set[str] = set()

    def make_directory(self, path: str) -> None:
        """Directories are there without being made."""

    def create(self, path: str) -> File:
        """As in FileSystem."""
        if path in self._names:
            raise FileExistsError(17, "File exists", path)
        self._change({path: _Node()})
        return _MemoryFile(self, self._names[path])

    def open(self, path: str, *, write: bool = True) -> File:  # noqa: ARG002
        """As in FileSystem."""
        if path not in self._names:
            raise FileNotFoundError(2, "No such file or directory", path)
        return _MemoryFile(self, self._names[path])

    def rename(self, old: str, new: str) -> None:
        """As in FileSystem."""
        self._change({old: None, new: self._names[old]})

    def unlink(self, path: str) -> None:
        """As in FileSystem."""
        if path not in self._names:
            raise FileNotFoundError(2, "No such file or directory", path)
        self._change({path: None})

    def names(self, directory: str) -> list[str]:
        """As in FileSystem."""
        return sorted(basename(path) for path in self._names if dirname(path) == directory)

    def sync_directory(self, path: str) -> None:
        """As in FileSystem."""
        self.before_sync()
        waiting = []
        for change in self._changes:
            if all(dirname(name) == path for name in change):
                _apply(self._durable, change)
            else:
                waiting.append(change)
        self._changes = waiting

    def lock(self, path: str) -> Lock | None:
        """As in FileSystem."""
        if path in self._locked:
            return None
        if path not in self._names:
            self.create(path)
        self._locked.add(path)
        return _MemoryLock(self._locked, path, self._names[path])

    def crash_clone(self, rng: Random) -> "MemoryFileSystem":
        """A file system as it may be found after power was lost now; this one goes on."""
        names = dict(self._durable)
        for change in self._changes:
            if rng.random() < 0.5:
                _apply(names, change)
        clone = MemoryFileSystem()
        made: dict[int, _Node] = {}
        for name, node in names.items():
            copy = made.setdefault(id(node), _Node(b""))
            if not copy.durable:
                copy.durable = node.crashed(rng)
                copy.data = bytearray(copy.durable)
            clone._names[name] = clone._durable[name] = copy
        return clone

    def clone(self) -> "MemoryFileSystem":
        """A copy of all that programs see, durable: as after the process, not the machine, was killed."""
        clone = MemoryFileSystem()
        for name, node in self._names.items():
            clone._names[name] = clone._durable[name] = _Node(node.read(node.size(), 0))
        return clone

    def content(self, path: str) -> bytes:
        """All bytes of a file."""
        node = self._names[path]
        return node.read(node.size(), 0)

    def replace(self, path: str, content: bytes) -> None:
        """Give a file other bytes, durably: damage, for tests."""
        self._names[path] = self._durable[path] = _Node(content)

    def paths(self) -> list[str]:
        """All files."""
        return sorted(self._names)

    def _change(self, change: dict[str, _Node | None]) -> None:
        _apply(self._names, change)
        self._changes.append(change)


def _apply(names: dict[str, _Node], change: dict[str, _Node | None]) -> None:
    for path, node in change.items():
        if node is None:
            names.pop(path, None)
        else:
            names[path] = node
