"""Space for the log: creates the files of segments, reuses those of dead ones, and writes zeros ahead of the log.

The cost of a sync depends on whether its space was written before (docs/internals/device-writes.md has the figures).
Space that was only allocated makes the file system note, in its journal, that there is data now: 12 KiB and a second
flush for each sync. Space that held data before needs neither. There are two ways to have such space:

* a file that was a log segment and holds nothing any more is renamed and used again, stale bytes and all;
* in a new file, zeros are written behind the log in steps of 1 MiB, while groups are so small that this costs less.
"""

from collections import deque
from collections.abc import Set as AbstractSet
from contextlib import suppress
from threading import Lock
from weakref import finalize

from brainctl.engine.format.file_names import segment_name, spare_name
from brainctl.engine.format.segment_header import DATA, LOG, RECYCLED, FileHeader, pack_header
from brainctl.engine.log.manifest import Manifest
from brainctl.engine.log.segment import Segment
from brainctl.engine.options import EngineOptions
from brainctl.engine.stats import Stats
from brainctl.engine.vfs.filesystem import BLOCK, File, FileSystem, block_bytes, create_anew, write_through

_SMALL_GROUP = 14 << 10
"""Bytes: while the mean group is smaller, zeros cost less than the file system's journal."""


class SegmentAllocator:
    """The files of one log."""

    def __init__(
        self, directory: str, fs: FileSystem, options: EngineOptions, manifest: Manifest, stats: Stats
    ) -> None:
        self._directory = directory
        self._fs = fs
        self._options = options
        self._manifest = manifest
        self._stats = stats
        self._turn = Lock()
        self._closed = False
        self._kept: set[str] = set()
        """Paths of files of dead segments."""
        self._spares: deque[str] = deque()
        """Spare segments that no reader has mapped any more."""
        self._mean = 0.0
        """Bytes of a group, as a moving average."""
        self.made = Stats()
        """Counters of what making files has written, on whatever thread."""

    def close(self) -> None:
        """Wait for a file that is being made, refuse to make others, and remove those kept to be used again."""
        with self._turn:
            self._closed = True
        self._drop(self._kept)

    def drop(self) -> None:
        """Remove the files that are kept to be used again and that no reader has mapped."""
        with self._turn:
            spares = set(self._spares)
            self._spares.clear()
            self._kept -= spares
        self._drop(spares)

    def _drop(self, paths: AbstractSet[str]) -> None:
        for path in paths:
            with suppress(OSError):  # the next opening removes it
                self._fs.unlink(path)

    # -- files --------------------------------------------------------------------------------------------------

    def make(self, target: Segment) -> None:
        """Make the file of a segment, and list it in the manifest, unless that was done; durable on return.

        Any thread may call it.

        Raises:
            OSError: The file cannot be made.
        """
        with self._turn:
            # The map tells, not the file: a segment that the log has left has no open file, but must not be made again.
            if target.map is not None or self._closed:
                return
            target.stale = False
            file = self._recycled(target) or self._new(target)
            kind = RECYCLED if target.stale else LOG
            header = FileHeader(kind, target.number, 0, 0, self._manifest.store, target.size, 0, 0)
            file.write(pack_header(header), 0)
            file.sync()
            self._fs.sync_directory(self._directory)
            self.made.meta_bytes += DATA
            self.made.syncs += 2
            mapped = file.map()
            self._manifest.replace(target.number, 0)
            target.file, target.map = file, mapped

    def _new(self, target: Segment) -> File:
        file = create_anew(self._fs, target.path)
        file.allocate(target.size)
        return file

    def _recycled(self, target: Segment) -> File | None:
        """Reuse a file that was a segment before; return None when there is none of that size without another name."""
        if not self._spares or target.size != self._options.segment_size:
            return None
        path = self._spares.popleft()
        self._kept.remove(path)
        self._fs.rename(path, target.path)
        file = self._fs.open(target.path)
        if file.links() > 1 or file.size() != target.size:  # a backup has it too
            file.close()
            self._fs.unlink(target.path)
            return None
        target.stale = True
        target.written = target.size
        self.made.recycled_segments += 1
        return file

    def retire(self, dead: Segment) -> bool:
        """Keep the file of a segment that the manifest no longer lists, if it can be used again.

        Returns:
            Whether it was kept; else the caller removes it.

        Raises:
            OSError: It cannot be renamed.
        """
        whole = dead.extents is None and dead.size == self._options.segment_size and dead.end * 4 > dead.size * 3
        if not whole or len(self._kept) >= self._options.spare_segments or self._closed:
            return False
        path = f"{self._directory}/{spare_name(dead.number)}"
        self._fs.rename(dead.path, path)
        # Readers that were under way may still have it mapped: it may be written only when the last of them is done,
        # which is when the Segment object is freed.
        self._kept.add(path)
        finalize(dead, self._spares.append, path)
        return True

    # -- space --------------------------------------------------------------------------------------------------

    def write(self, target: Segment, data: bytes, offset: int) -> None:
        """Write a group at the end of the log, and zeros behind it where that makes the next syncs cheaper.

        Nothing is durable yet: the caller syncs.

        Raises:
            OSError: The write failed.
        """
        file = target.file
        assert file is not None
        size, end = len(data), offset + len(data)
        self._mean += (size - self._mean) / 16
        stats = self._stats
        zeros = filled = 0
        if end > target.written:
            if self._mean < _SMALL_GROUP and self._options.zero_ahead:
                zeros = max(0, min((end + self._options.zero_ahead) // BLOCK * BLOCK, target.size) - end)
                data += bytes(zeros)
            target.written = -(-(end + zeros) // BLOCK) * BLOCK
            filled = target.written - end - zeros  # the file system zeroes the rest of a block that is written first
            stats.padding_bytes += filled
        write_through(file, data, offset)
        stats.zero_bytes += zeros
        if not file.through:
            stats.padding_bytes += block_bytes(offset, size + zeros) - size - zeros - filled


def segment_path(directory: str, number: int) -> str:
    """Return the path of the file of a log segment."""
    return f"{directory}/{segment_name(number, 0)}"
