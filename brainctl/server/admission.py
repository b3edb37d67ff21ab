"""How many connections there may be: the store's files, and memory, must not run out because of clients.

A connection beyond the limit is closed at once, or one that waits instead of it (`connections.py`), so its client can
go elsewhere or try again; the others stay, and the store goes on. The soft limit of descriptors is raised to the hard
one first.
"""

import logging
import os
import resource
from pathlib import Path
from typing import Final

from brainctl.log import Fact

_log = logging.getLogger(__name__)
_ADVICE = "find the client that opens them, or raise the limit of descriptors (ulimit -n)"

KEPT_DESCRIPTORS: Final = 64
"""Descriptors that connections do not take: the store opens new files as it grows, and files for a while as it works.
"""
SPARE_DESCRIPTORS: Final = 16
"""Number of descriptors that are held open, so that the store gets them even when all others are taken."""
LEAST: Final = 16
"""The number of connections that is allowed whatever the limits are."""
CONNECTION_BYTES: Final = 64 << 10
"""Memory of an idle connection in bytes, about, its buffers in the kernel included."""
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
_OWN: Final = Path("/proc/self/fd")


class Room:
    """The room that one server has for connections."""

    def __init__(self) -> None:
        self.limit = 1 << 30
        self.refused = 0
        """Connections that were closed because there were too many."""
        self._full = False

    def measure(self, connections: int) -> None:
        """Set the limit from the descriptors and the memory of this process.

        Args:
            connections: how many are open now.
        """
        descriptors, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        others = sum(1 for _ in _OWN.iterdir()) - connections if _OWN.exists() else KEPT_DESCRIPTORS
        by_descriptors = descriptors - others - KEPT_DESCRIPTORS
        self.limit = max(LEAST, min(by_descriptors, memory_bytes() // 2 // CONNECTION_BYTES))

    def tick(self, connections: int) -> None:
        """Measure again when half of the limit is used, and log it when connections are taken again.

        The server calls this each second.
        """
        if connections * 2 > self.limit:
            self.measure(connections)
        if self._full and connections < self.limit:
            self._full = False
            _log.warning(Fact("connections are accepted again", connections=connections, limit=self.limit))

    def admits(self, connections: int) -> bool:
        """Return whether one more connection may be added to `connections`; the first refusal of a series is logged."""
        if connections < self.limit:
            return True
        self.refused += 1
        if not self._full:
            self._full = True
            _log.warning(
                Fact("no more connections are accepted", connections=connections, limit=self.limit, advice=_ADVICE)
            )
        return False


def raise_descriptor_limit() -> None:
    """Raise the soft limit of descriptors of this process to its hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # it stays as it is
            _log.warning(Fact("the limit of descriptors cannot be raised", limit=soft, error=error))


def memory_bytes() -> int:
    """Return the memory of this machine in bytes, or of the cgroup of this process if that is less."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(machine, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # there is no such group, or no limit ("max")
        return machine
