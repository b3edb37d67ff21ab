"""Writes a run: blocks as keys come in, in order, then the sections, then the header (docs/formats/run.md)."""

from array import array
from collections.abc import Iterable, Iterator

from crc32c import crc32c

from brainctl.engine import keyfilter, node, run
from brainctl.engine.entry import LEASED, gain
from brainctl.engine.files import File, write_all
from brainctl.engine.node import LEASED_KEYS
from brainctl.engine.run import START, Covered, RunHeader, Section, Superseded

_BLOCK = 4096
"""A block ends with the key that makes it this large."""
_ENTRY = 12
_FENCE = 20
_BUFFER = 256 << 10


class _Level:
    """The block of one level that is being filled."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.numbers = array("Q")
        self.gains = array("q")
        self.size = node.HEADER.size


class RunWriter:
    """Fills the file of one run. The caller makes the file, syncs it, and has the manifest name it."""

    def __init__(self, file: File, store: int, number: int, keys: int) -> None:
        """Begin a run of at most `keys` keys."""
        self._file = file
        self._store = store
        self._number = number
        self._salt = run.salt(store, number)
        self._filter = keyfilter.make(keys)
        self._levels = [_Level()]
        self._leased: list[bytes] = []
        self._buffer: list[bytes] = []
        self._written = START
        self._end = START
        self._entries = 0
        self._gains = 0
        self._before = 0
        """The sum of the gains before the leaf that is being filled."""

    def add(self, key: bytes, entry: int) -> int:
        """Take the next key, which is larger than those before it; how many bytes that has made ready to be written."""
        leaf = self._levels[0]
        leaf.keys.append(key)
        leaf.numbers.append(entry)
        leaf.size += len(key) + _ENTRY
        self._gains += gain(entry)
        self._entries += 1
        keyfilter.add(self._filter, key)
        if entry & LEASED:
            self._leased.append(key)
        if leaf.size < _BLOCK:
            return 0
        before = self._end
        self._close(0)
        if self._end - self._written >= _BUFFER:
            self.flush()
        return self._end - before

    def flush(self) -> None:
        """Write what is ready; OSError."""
        data = b"".join(self._buffer)
        self._buffer.clear()
        write_all(self._file, data, self._written)
        self._written += len(data)

    def finish(self, superseded: Superseded, covered: Covered) -> int:
        """Write the rest; the size of the file. OSError."""
        root = self._close_all()
        leaves = self._end
        for keys in _packs(self._leased):
            zeros = array("Q", bytes(8 * len(keys)))
            self._append(node.pack(LEASED_KEYS, keys, zeros, array("q"), self._end, self._salt))
        sections = []
        for part in (self._filter.tobytes(), superseded.pack(), covered.pack()):
            sections.append(Section(self._end, len(part), crc32c(part, self._salt)))
            self._append(part)
        self.flush()
        header = RunHeader(
            self._number, self._store, self._end, self._entries, self._gains, root, leaves, tuple(sections)
        )
        write_all(self._file, run.pack_header(header), 0)
        return self._end

    def _append(self, data: bytes) -> None:
        self._buffer.append(data)
        self._end += len(data)

    def _close(self, level: int) -> int:
        """Lay out the block of a level, and note it in the level above; its offset."""
        block, offset = self._levels[level], self._end
        self._levels[level] = _Level()
        self._append(node.pack(level, block.keys, block.numbers, block.gains, offset, self._salt))
        if level + 1 == len(self._levels):
            self._levels.append(_Level())
        above = self._levels[level + 1]
        above.keys.append(block.keys[0])
        above.numbers.append(offset)
        above.gains.append(block.gains[0] if level else self._before)
        above.size += len(block.keys[0]) + _FENCE
        if not level:
            self._before = self._gains
        if above.size >= _BLOCK and len(above.keys) > 1:
            self._close(level + 1)
        return offset

    def _close_all(self) -> int:
        """Lay out what is left, up to the one block above all; its offset, 0 when there are no keys."""
        level = 0
        while True:
            block = self._levels[level]
            top = level + 1 == len(self._levels)
            if top and len(block.keys) == 1 and level:
                return block.numbers[0]
            if block.keys:
                self._close(level)
            elif top:
                return 0
            level += 1


def _packs(keys: list[bytes]) -> Iterator[list[bytes]]:
    for first in range(0, len(keys), 128):
        yield keys[first : first + 128]


def fill(writer: RunWriter, pairs: Iterable[tuple[bytes, int]]) -> Iterator[int]:
    """Add keys and entries; says after each block how many bytes it has."""
    for key, entry in pairs:
        size = writer.add(key, entry)
        if size:
            yield size
