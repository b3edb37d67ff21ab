"""The file descriptors that a client needs: gRPC and its like end the process where they find none."""

import errno
import os
import resource
from pathlib import Path
from typing import Final

NEEDED: Final = 8
"""Free descriptors for the event loop, the threads and the first connections of a client."""
_OWN: Final = Path("/proc/self/fd")


def require() -> None:
    """Check that a client over the network has the descriptors that it needs.

    Raises:
        OSError: EMFILE, there are too few.
    """
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sum(1 for _ in _OWN.iterdir()) - 1 if _OWN.exists() else 0  # the listing itself is one
    if soft != resource.RLIM_INFINITY and soft - used < NEEDED:
        raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}: {soft} are allowed, {used} are open")
