"""Writes a run: blocks as keys come in, in order, then the sections, then the header (docs/formats/run.md)."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from crc32c import crc32c

from brainctl.engine.format import bloom_filter, index_block
from brainctl.engine.format.index_block import LEASED_KEYS
from brainctl.engine.format.index_entry import LEASED, gains
from brainctl.engine.format.run_header import START, RunHeader, Section, pack_header, salt
from brainctl.engine.index.log_coverage import LogCoverage, Superseded
from brainctl.engine.vfs.filesystem import File, write_all

_BLOCK = 4096
"""Bytes: a block ends with the key that makes it this large, or earlier."""
_ENTRY = 12
"""Bytes that a key takes in a leaf beside its own: the entry (8) and where the key ends (4)."""
_FENCE = 20
"""Bytes that a key takes in a fence beside its own: offset (8), gains (8) and where the key ends (4)."""
_BUFFER = 256 << 10
"""Bytes that are collected before they are written."""


class _Level:
    """The fence of one level that is being filled."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.numbers = array("Q")
        self.gains = array("q")
        self.size = index_block.HEADER_SIZE


class RunWriter:
    """Fills the file of one run. The caller creates the file, syncs it, and lists it in the manifest."""

    def __init__(self, file: File, store: int, number: int, keys: int) -> None:
        """Create a writer for a run of at most `keys` keys.

        Args:
            file: The empty file.
            store: The identity of the store.
            number: The number of the run.
            keys: The most keys that it will have: the filter is made for this number.
        """
        self._file = file
        self._store = store
        self._number = number
        self._salt = salt(store, number)
        self._filter = bloom_filter.make(keys)
        self._fences: list[_Level] = []
        """The open fences, from level 1 on."""
        self._leased: list[bytes] = []
        self._buffer: list[bytes] = []
        self._written = START
        self._end = START
        self._entries = 0
        self._gains = 0

    def add(self, keys: Sequence[bytes], entries: Sequence[int]) -> int:
        """Take the next keys, in order and larger than those before, and return how many bytes they make.

        Raises:
            OSError: The buffer was full, and could not be written.
        """
        before = self._end
        numbers = array("Q", entries)
        upto = list(accumulate(map(len, keys), initial=0))
        sizes = [size + _ENTRY * at for at, size in enumerate(upto)]
        first = 0
        while first < len(keys):
            last = min(bisect_left(sizes, sizes[first] + _BLOCK, first + 1), len(keys))
            self._add_leaf(keys[first:last], numbers[first:last])
            first = last
        self._entries += len(keys)
        bloom_filter.add(self._filter, keys)
        if any(entry & LEASED for entry in entries):
            self._leased += [key for key, entry in zip(keys, entries, strict=True) if entry & LEASED]
        if self._end - self._written >= _BUFFER:
            self.flush()
        return self._end - before

    def flush(self) -> None:
        """Write what is ready; it is durable once the file was synced.

        Raises:
            OSError: It cannot be written.
        """
        data = b"".join(self._buffer)
        self._buffer.clear()
        write_all(self._file, data, self._written)
        self._written += len(data)

    def finish(self, superseded: Superseded, covered: LogCoverage) -> int:
        """Write the rest, the header last, and return the size of the file in bytes; the caller syncs it.

        Raises:
            OSError: It cannot be written.
        """
        root = self._close_all()
        leaves = self._end
        for keys in _packs(self._leased):
            zeros = array("Q", bytes(8 * len(keys)))
            self._append(index_block.pack(LEASED_KEYS, keys, zeros, array("q"), self._end, self._salt))
        sections = []
        for part in (self._filter.tobytes(), superseded.pack(), covered.pack()):
            sections.append(Section(self._end, len(part), crc32c(part, self._salt)))
            self._append(part)
        self.flush()
        header = RunHeader(
            self._number, self._store, self._end, self._entries, self._gains, root, leaves, tuple(sections)
        )
        write_all(self._file, pack_header(header), 0)
        return self._end

    def _append(self, data: bytes) -> None:
        self._buffer.append(data)
        self._end += len(data)

    def _add_leaf(self, keys: Sequence[bytes], numbers: "array[int]") -> None:
        offset = self._end
        self._append(index_block.pack(0, keys, numbers, array("q"), offset, self._salt))
        self._add_fence(1, keys[0], offset, self._gains)
        self._gains += gains(numbers)

    def _add_fence(self, level: int, first: bytes, offset: int, before: int) -> None:
        """Add a block to the fence of the level above it."""
        if level > len(self._fences):
            self._fences.append(_Level())
        fence = self._fences[level - 1]
        fence.keys.append(first)
        fence.numbers.append(offset)
        fence.gains.append(before)
        fence.size += len(first) + _FENCE
        if fence.size >= _BLOCK and len(fence.keys) > 1:
            self._close(level)

    def _close(self, level: int) -> None:
        """Lay out the fence of a level, and add it to the level above."""
        fence, offset = self._fences[level - 1], self._end
        self._fences[level - 1] = _Level()
        self._append(index_block.pack(level, fence.keys, fence.numbers, fence.gains, offset, self._salt))
        self._add_fence(level + 1, fence.keys[0], offset, fence.gains[0])

    def _close_all(self) -> int:
        """Lay out all open fences, and return the offset of the topmost block; 0 when there are no keys."""
        level = 1
        while level <= len(self._fences):
            fence = self._fences[level - 1]
            if level == len(self._fences) and len(fence.keys) == 1:
                return fence.numbers[0]
            if fence.keys:
                self._close(level)
            level += 1
        return 0


def _packs(keys: list[bytes]) -> Iterator[list[bytes]]:
    for first in range(0, len(keys), 128):
        yield keys[first : first + 128]


def fill(writer: RunWriter, pages: Iterable[tuple[list[bytes], list[int]]]) -> Iterator[int]:
    """Add keys and entries, page by page, and yield after each how many bytes that made."""
    for keys, entries in pages:
        yield writer.add(keys, entries)
