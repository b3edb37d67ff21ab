"""How glibc keeps memory that was freed: long enough for the next answer of megabytes to be made in it.

By default blocks of a megabyte come from the kernel and go back to it each time, and a list pays for fresh zeroed pages
more than for its bytes.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
LARGE_BYTES = 32 << 20
"""Blocks smaller than this, in bytes, are taken from the heap; glibc allows no larger threshold."""
KEPT_BYTES = 64 << 20
"""Bytes that may be free at the end of the heap before any of them go back to the kernel."""


def keep_freed_memory() -> None:
    """Set the thresholds for this process; does nothing where the C library has no mallopt (musl)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
