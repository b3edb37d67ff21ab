"""A run: an immutable file of sorted keys and their entries, which covers the log up to a place (docs/formats/run.md).

LevelDB calls this a sorted table. Nothing in it is used before its CRC-32C was checked: the header when the run is
opened, each block and each section when it is first needed.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from mmap import mmap

from crc32c import crc32c

from brainctl.engine.format import index_block
from brainctl.engine.format.file_names import run_name
from brainctl.engine.format.index_block import LEASED_KEYS, IndexBlock
from brainctl.engine.format.index_entry import gains
from brainctl.engine.format.run_header import SECTIONS, START, RunHeader, salt, unpack_header
from brainctl.engine.index.log_coverage import LogCoverage, Superseded
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import IndexDamaged

_NODES = 1024
"""Blocks that are cached in each of two generations, young and old."""
_BOUNDS = 1024
"""Bounds of counts that are cached."""


class Run:
    """One run, open for reading."""

    def __init__(self, path: str, header: RunHeader, data: mmap) -> None:
        self.path = path
        self.header = header
        self.number = header.number
        self._data = data
        self._salt = salt(header.store, header.number)
        self._young: dict[int, IndexBlock] = {}
        self._old: dict[int, IndexBlock] = {}
        self._gained: dict[bytes, int] = {}
        """A cache of `gained`: by bound, the sum of the gains below it."""

    @classmethod
    def open(cls, directory: str, fs: FileSystem, store: int, number: int) -> "Run":
        """Open a run of a store, and check its header.

        Raises:
            IndexDamaged: The file is missing, not sound, or that of another run.
            OSError: It cannot be read.
        """
        path = f"{directory}/{run_name(number)}"
        try:
            file = fs.open(path, write=False)
        except FileNotFoundError:
            raise IndexDamaged(f"{path}: the file is missing (offset 0)") from None
        try:
            header = unpack_header(file.read(START, 0), path)
            if (header.number, header.store) != (number, store):
                raise IndexDamaged(f"{path}: the header at offset 0 is that of another run")
            if file.size() != header.size:
                raise IndexDamaged(f"{path}: {file.size()} bytes long instead of {header.size}; see offset 24")
            return cls(path, header, file.map())
        finally:
            file.close()

    def find(self, key: bytes) -> int | None:
        """Return the entry of a key; None when it has none here. Ask `filter` first: it mostly answers at less cost."""
        if not self.header.root:
            return None
        leaf = self._leaf(key)[0]
        at = bisect_left(leaf.keys, key)
        return leaf.numbers[at] if at < len(leaf.keys) and leaf.keys[at] == key else None

    def gained(self, end: bytes | None) -> int:
        """Return the sum of the gains of the keys below `end` (None: of all).

        Raises:
            IndexDamaged: A block is not sound.
        """
        if end is None or not self.header.root:
            return self.header.gains
        known = self._gained.get(end)
        if known is None:
            leaf, before = self._leaf(end)
            at = bisect_left(leaf.keys, end)
            known = before + gains(leaf.numbers[:at])
            if len(self._gained) >= _BOUNDS:
                self._gained.clear()
            self._gained[end] = known
        return known

    def slice(self, start: bytes, end: bytes | None, limit: int) -> tuple[list[bytes], list[int]]:
        """Return the first keys of a range and their entries: at least `limit`, if the range has that many."""
        keys: list[bytes] = []
        entries: list[int] = []
        if not self.header.root:
            return keys, entries
        leaf = self._leaf(start)[0]
        first = bisect_left(leaf.keys, start)
        while True:
            last = len(leaf.keys)
            if end is not None and last and leaf.keys[-1] >= end:
                last = bisect_left(leaf.keys, end)
            keys += leaf.keys[first:last]
            entries += leaf.numbers[first:last]
            following = self._next_leaf(leaf.end)
            if last < len(leaf.keys) or len(keys) >= limit or following is None:
                return keys, entries
            leaf, first = following, 0

    def leased(self) -> Iterator[bytes]:
        """Yield the keys whose version here has a lease."""
        at = self.header.leaves
        while at < self.header.sections[0].offset:
            block = index_block.unpack(self._data, at, self._salt, self.path)
            if block.level != LEASED_KEYS:
                raise IndexDamaged(f"{self.path}: the block at offset {at} does not list leased keys")
            yield from block.keys
            at = block.end

    def superseded(self) -> Superseded:
        """Return the versions that the stretch of the log covered by this run has superseded.

        Raises:
            IndexDamaged: The section is not sound.
        """
        return Superseded.unpack(self._section(1))

    def covered(self) -> LogCoverage:
        """Return the state of the store at the end of the stretch of the log that this run covers.

        Raises:
            IndexDamaged: The section is not sound.
        """
        return LogCoverage.unpack(self._section(2))

    def prove(self) -> Iterator[tuple[bytes, int]]:
        """Check everything in the file, and yield every key and its entry.

        Raises:
            IndexDamaged: Something is not as it was written.
        """
        for number in range(len(SECTIONS)):
            self._section(number)
        leased = list(self.leased())
        del leased
        for leaf in self.leaves():
            yield from zip(leaf.keys, leaf.numbers, strict=True)

    def differs(self, data: bytes, offset: int) -> int | None:
        """Return the first offset at which the file differs from `data`, which was read at `offset`; None: nowhere."""
        known = self._data[offset : offset + max(len(data), 1)]
        if known == data:
            return None
        same = (at for at, (a, b) in enumerate(zip(known, data, strict=False)) if a != b)
        return offset + next(same, min(len(known), len(data)))

    def leaves(self) -> Iterator[IndexBlock]:
        """Yield all leaves, in order, without caching them.

        Raises:
            IndexDamaged: A block is not sound.
        """
        at = START
        while at < self.header.leaves:
            block = index_block.unpack(self._data, at, self._salt, self.path)
            if not block.level:
                yield block
            at = block.end

    # -- blocks -------------------------------------------------------------------------------------------------

    def _section(self, number: int) -> bytes:
        offset, length, crc = self.header.sections[number]
        data = self._data[offset : offset + length]
        if crc32c(data, self._salt) != crc:
            raise IndexDamaged(f"{self.path}: the {SECTIONS[number]} at offset {offset} is damaged")
        return data

    @cached_property
    def bounds(self) -> tuple[bytes, bytes]:
        """Return the first and the last key; the run must not be empty.

        Raises:
            IndexDamaged: A block is not sound.
        """
        last = self._block(self.header.root)
        while last.level:
            last = self._block(last.numbers[-1])
        return self._leaf(b"")[0].keys[0], last.keys[-1]

    @cached_property
    def filter(self) -> "array[int]":
        """Return the words of the Bloom filter.

        Raises:
            IndexDamaged: The section is not sound.
        """
        return array("Q", self._section(0))

    def _leaf(self, key: bytes) -> tuple[IndexBlock, int]:
        """Return the leaf in which a key lies if it has an entry, and the sum of the gains before that leaf."""
        block, before = self._block(self.header.root), 0
        while block.level:
            at = max(0, bisect_right(block.keys, key) - 1)
            before = block.gains[at]
            block = self._block(block.numbers[at])
        return block, before

    def _next_leaf(self, at: int) -> IndexBlock | None:
        while at < self.header.leaves:
            block = self._block(at)
            if not block.level:
                return block
            at = block.end
        return None

    def _block(self, offset: int) -> IndexBlock:
        block = self._young.get(offset)
        if block is None:
            block = self._old.get(offset) or index_block.unpack(self._data, offset, self._salt, self.path)
            if len(self._young) >= _NODES:
                self._old, self._young = self._young, {}
            self._young[offset] = block
        return block
