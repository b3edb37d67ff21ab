"""The bound of snapshots: each is a temporary file as large as the store, until its client has read it.

A client that begins many, or does not read them, must neither fill the disk nor keep other clients from their
snapshots: AT_ONCE are open at a time, one that is hardly read is given up for the next, and none is begun for which
the disk has no room.

Example: four snapshots are being sent, and a fifth client asks for one. If one of the four has been sent for more than
30 seconds and its client took less than 64 KiB per second on average, its file is closed, and its client gets GIVEN_UP
when it reads on; the fifth snapshot begins. Otherwise the fifth client gets TOO_MANY.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Final

from brainctl.errors import ApiError, Code, Status
from brainctl.log import Fact

_log = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""The most snapshots that are being made or sent."""
PATIENCE_SECONDS: Final = 30.0
"""Seconds that a snapshot is sent before the speed of its client matters to the others."""
LEAST_BYTES_PER_SECOND: Final = 64 << 10
"""A client that reads less than this on average loses its snapshot when another client needs one."""
_FILES: Final = 2
"""Times the size of the store that writing a snapshot takes on the disk for temporary files: the rows, and the file."""
_KEPT_BYTES: Final = 64 << 20
"""Bytes that must stay free there."""
TOO_MANY: Final = Status(
    Code.RESOURCE_EXHAUSTED, f"brainctl: {AT_ONCE} snapshots are being made or sent already; try again later"
)
"""The answer when AT_ONCE snapshots are read fast enough."""
GIVEN_UP: Final = Status(
    Code.RESOURCE_EXHAUSTED, "brainctl: the snapshot was read too slowly while others waited for one; try again"
)
"""The answer to the client whose snapshot was given up."""


class OpenSnapshot:
    """One snapshot that is being made or sent."""

    def __init__(self, file: IO[bytes], wanted_bytes: int) -> None:
        self.file = file
        self.wanted_bytes = wanted_bytes
        """Bytes of the disk that are reserved for it; 0 once it is written."""
        self.since: float | None = None
        """The time when sending began, in seconds of the monotonic clock; None before."""
        self.sent = 0
        """Bytes handed to the connection."""
        self.given_up = False

    def give_up(self) -> None:
        """Free its room on the disk; the client gets GIVEN_UP with its next chunk."""
        self.given_up = True
        self.file.close()

    def too_slow(self, now: float) -> bool:
        """Return whether the client has read too little in the time that it had."""
        if self.since is None or now - self.since < PATIENCE_SECONDS:
            return False
        return self.sent < (now - self.since) * LEAST_BYTES_PER_SECOND


class SnapshotRoom:
    """The open snapshots of one node."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Create the room without any snapshot; `now` is the monotonic clock."""
        self._now = now
        self._open: dict[OpenSnapshot, None] = {}
        self.threads = ThreadPoolExecutor(1, "snapshot")
        """The thread that writes and hashes the files, so that the threads of the store stay free for the store."""
        self.refused = 0
        """The number of snapshots that were refused or given up for others."""

    def enter(self, file: IO[bytes], size: int) -> OpenSnapshot:
        """Register a snapshot of a store of `size` bytes, in a temporary file.

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
        """Remove a snapshot that has ended."""
        self._open.pop(snapshot, None)

    def _make_room(self) -> None:
        """Give up a snapshot that is read too slowly.

        Raises:
            ApiError: TOO_MANY, when all are read fast enough.
        """
        now = self._now()
        slow = next((each for each in self._open if each.too_slow(now)), None)
        if slow is None:
            self._refuse(TOO_MANY)
            return
        self.refused += 1
        _log.warning(Fact("a snapshot is ended: its client reads too slowly, and others wait", sent_bytes=slow.sent))
        self.leave(slow)
        slow.give_up()

    def _refuse(self, status: Status) -> None:
        """Count and log a refusal, and raise it.

        Raises:
            ApiError: Always, with this status.
        """
        self.refused += 1
        _log.warning(Fact("a snapshot is refused", error=status.message))
        raise ApiError(status)


def no_room(directory: str, wanted: int) -> Status:
    """Return the answer to a client whose snapshot does not fit into `directory`."""
    return Status(
        Code.RESOURCE_EXHAUSTED,
        f"brainctl: no room in {directory} of the server for a snapshot, which takes up to {wanted >> 20} MiB there;"
        " make room, or set TMPDIR for the server to another disk",
    )
