"""Revisions of the change stream that wait for the target: first in memory, then in an unnamed temporary file.

The stream is read as fast as it comes, so that the source may compact what it has delivered. Order is kept: what does
not fit the memory goes to the end of the file, and so does all that follows until the file is read to its end.
"""

from collections import deque
from collections.abc import Sequence
from struct import Struct
from tempfile import TemporaryFile
from typing import IO

from brainctl.migrate.machine.events import RevisionRead

MEMORY_BYTES = 16 << 20
"""Bytes of events above which the following revisions go to the file."""
FILE_BYTES = 2 << 30
"""Size of the file above which the stream is not read on, until the file was read to its end."""

_REVISION = Struct(">QIIQQ")
"""Revision, number of leases, number of events, size of the events, and the bytes that follow."""
_LEASE = Struct(">q")
_LENGTH = Struct(">I")


class Spool:
    """A queue of revisions."""

    def __init__(self, memory: int = MEMORY_BYTES, most: int = FILE_BYTES) -> None:
        """Create an empty queue.

        Args:
            memory: Bytes of events that are kept in memory.
            most: The largest file in bytes.
        """
        self._memory = memory
        self._most = most
        self._front: deque[RevisionRead] = deque()
        self._bytes = 0
        """The bytes of events of `_front`."""
        self._file: IO[bytes] | None = None
        self._read = 0
        """The place at which the file is read next."""
        self._end = 0
        self._late: deque[RevisionRead] = deque()
        """Revisions for which the file had no room; they come last."""

    @property
    def empty(self) -> bool:
        """Return whether nothing waits."""
        return not (self._front or self._read < self._end or self._late)

    @property
    def full(self) -> bool:
        """Return whether the stream should not be read on until all that waits was taken."""
        return bool(self._late)

    def put(self, revisions: Sequence[RevisionRead]) -> None:
        """Add revisions at the end. A file that cannot take them makes the spool full; nothing is lost."""
        for read in revisions:
            if self._late:
                self._late.append(read)
            elif self._read == self._end and self._bytes < self._memory:
                self._front.append(read)
                self._bytes += read.size
            elif not self._write(read):
                self._late.append(read)

    def take(self, size: int) -> list[RevisionRead]:
        """Remove and return the first revisions: one, if there is any, and more up to about `size` bytes of events."""
        taken: list[RevisionRead] = []
        while size > 0 and (read := self._next()) is not None:
            taken.append(read)
            size -= max(read.size, 1)
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._front.clear()
        self._late.clear()
        self._bytes = self._read = self._end = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self) -> RevisionRead | None:
        if self._front:
            read = self._front.popleft()
            self._bytes -= read.size
            return read
        if self._read < self._end:
            return self._load()
        if self._late:
            return self._late.popleft()
        return None

    def _write(self, read: RevisionRead) -> bool:
        """Append a revision to the file; return False when it has no room."""
        parts = [_LEASE.pack(lease) for lease in sorted(read.leases)]
        for event in read.events:
            parts += (_LENGTH.pack(len(event)), event)
        body = b"".join(parts)
        data = _REVISION.pack(read.revision, len(read.leases), len(read.events), read.size, len(body)) + body
        if self._end + len(data) > self._most:
            return False
        try:
            if self._file is None:
                self._file = TemporaryFile(buffering=0)  # noqa: SIM115 -- `clear` closes it
            self._file.seek(self._end)
            if self._file.write(data) != len(data):
                return False
        except OSError:  # no space, or no place for temporary files: the stream waits instead
            return False
        self._end += len(data)
        return True

    def _load(self) -> RevisionRead:
        """Return the next revision of the file, and empty the file when that was the last."""
        assert self._file is not None
        self._file.seek(self._read)
        revision, leases, events, size, length = _REVISION.unpack(self._exactly(_REVISION.size))
        body = self._exactly(length)
        at = leases * _LEASE.size
        held = frozenset(lease for (lease,) in _LEASE.iter_unpack(body[:at]))
        found = []
        for _ in range(events):
            (length,) = _LENGTH.unpack_from(body, at)
            at += _LENGTH.size + length
            found.append(body[at - length : at])
        self._read += _REVISION.size + len(body)
        if self._read == self._end:
            self._read = self._end = 0
            self._file.truncate(0)
        return RevisionRead(revision, found, size, held)

    def _exactly(self, size: int) -> bytes:
        """Return the next bytes of the file."""
        assert self._file is not None
        data = self._file.read(size)
        if len(data) != size:
            raise OSError(f"the temporary file of the migration has {len(data)} bytes where {size} were written")
        return data
