"""The bytes that have arrived on the connections of one gRPC channel, those of incomplete messages included.

gRPC for Python shows whole messages only. The kernel counts the bytes of each TCP connection (TCP_INFO), and the
connections of a channel are the sockets that this process has got since just before the channel was created.
"""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from struct import Struct

_DESCRIPTORS = Path("/proc/self/fd")
_INFO_BYTES = 256
_RECEIVED = Struct("=128xQ")
"""tcpi_bytes_received of struct tcp_info (linux/tcp.h), which Linux has since 4.1."""

Sockets = dict[int, int]
"""File descriptor by inode."""


def sockets() -> Sockets:
    """Return the sockets of this process; none when the system does not list them."""
    if not _DESCRIPTORS.is_dir():
        return {}
    found: Sockets = {}
    for entry in _DESCRIPTORS.iterdir():
        with suppress(OSError):  # it may be closed meanwhile
            about = os.fstat(int(entry.name))
            if stat.S_ISSOCK(about.st_mode):
                found[about.st_ino] = int(entry.name)
    return found


def received(opened: Sockets) -> int | None:
    """Return how many bytes have arrived at these sockets; None when it is known of none of them."""
    counts = [count for inode, descriptor in opened.items() if (count := _count(inode, descriptor)) is not None]
    return sum(counts) if counts else None


def _count(inode: int, descriptor: int) -> int | None:
    """Return the bytes that have arrived at one socket; None when it is closed or not TCP."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            if os.fstat(copy.fileno()).st_ino != inode:
                return None
            info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    count: int | None = _RECEIVED.unpack_from(info)[0] if len(info) >= _RECEIVED.size else None
    return count
