"""How many snapshots there may be at once: each is a temporary file as large as the store, until its client has it.

A client that begins many, or does not read them, must not fill the disk nor keep others from theirs: few are open at a
time, one that is hardly read makes room for the next, and none is begun for which the disk has no room.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Final

from brainctl.errors import ApiError, Code, Status

_log = logging.getLogger(__name__)

AT_ONCE: Final = 4
PATIENCE_SECONDS: Final = 30.0
"""How long a snapshot is sent before the speed of its client matters to the others."""
LEAST_BYTES_PER_SECOND: Final = 64 << 10
"""A client that takes less while others wait for a snapshot loses its own."""
_FILES: Final = 2
"""Times the size of the store that writing a snapshot takes on the disk for temporary files."""
_KEPT_BYTES: Final = 64 << 20
"""What must stay free there."""
TOO_MANY: Final = Status(
    Code.RESOURCE_EXHAUSTED, f"brainctl: {AT_ONCE} snapshots are being made or sent already; try again later"
)
GIVEN_UP: Final = Status(
    Code.RESOURCE_EXHAUSTED, "brainctl: the snapshot was read too slowly while others waited for one; try again"
)


class OpenSnapshot:
    """One snapshot that is made or sent."""

    def __init__(self, file: IO[bytes], wanted_bytes: int) -> None:
        self.file = file
        self.wanted_bytes = wanted_bytes
        """Room on the disk that it was promised; 0 once it is written."""
        self.since: float | None = None
        """When sending began, in seconds of the monotonic clock; None before."""
        self.sent = 0
        """Bytes handed to the connection."""
        self.given_up = False

    def give_up(self) -> None:
        """Free the room on the disk; the client hears of it when it goes on reading."""
        self.given_up = True
        self.file.close()

    def too_slow(self, now: float) -> bool:
        """Return whether the client has taken too little in the time that it had."""
        if self.since is None or now - self.since < PATIENCE_SECONDS:
            return False
        return self.sent < (now - self.since) * LEAST_BYTES_PER_SECOND


class SnapshotRoom:
    """The snapshots of one node."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin without any; `now` is the monotonic clock."""
        self._now = now
        self._open: dict[OpenSnapshot, None] = {}
        self.threads = ThreadPoolExecutor(1, "snapshot")
        """What writes and hashes the files, apart from the threads that the store itself needs."""
        self.refused = 0
        """Snapshots that were refused or given up for others."""

    def enter(self, file: IO[bytes], size: int) -> OpenSnapshot:
        """Begin a snapshot of a store of `size` bytes, in a temporary file.

        Raises:
            ApiError: RESOURCE_EXHAUSTED, when there are too many, or too little is free on the disk.
        """
        if len(self._open) >= AT_ONCE:
            self._make_room()
        wanted = _FILES * size
        directory = tempfile.gettempdir()
        free = shutil.disk_usage(directory).free - sum(each.wanted_bytes for each in self._open)
        if free < wanted + _KEPT_BYTES:
            self._refuse(no_room(directory, wanted))
        snapshot = OpenSnapshot(file, wanted)
        self._open[snapshot] = None
        return snapshot

    def sending(self, snapshot: OpenSnapshot) -> None:
        """Note that the file is written, and sending begins."""
        snapshot.since = self._now()
        snapshot.wanted_bytes = 0

    def leave(self, snapshot: OpenSnapshot) -> None:
        """End a snapshot."""
        self._open.pop(snapshot, None)

    def _make_room(self) -> None:
        now = self._now()
        slow = next((each for each in self._open if each.too_slow(now)), None)
        if slow is None:
            self._refuse(TOO_MANY)
            return
        self.refused += 1
        _log.warning("a snapshot is given up: its client has read %d bytes of it, and others wait for one", slow.sent)
        self.leave(slow)
        slow.give_up()

    def _refuse(self, status: Status) -> None:
        self.refused += 1
        _log.warning("a snapshot is refused: %s", status.message)
        raise ApiError(status)


def no_room(directory: str, wanted: int) -> Status:
    """Return the answer to a client whose snapshot does not fit into `directory`."""
    return Status(
        Code.RESOURCE_EXHAUSTED,
        f"brainctl: no room in {directory} of the server for a snapshot, which takes up to {wanted >> 20} MiB there;"
        " make room, or set TMPDIR for the server to another disk",
    )
