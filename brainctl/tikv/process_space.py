"""Tell whether another process that left its id in the store is known to be dead."""

import os
from pathlib import Path


def process_space() -> str:
    """Return the name of the space in which process ids of this machine mean something: boot and pid namespace.

    Empty where the system does not tell.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def is_dead(space: str, pid: int) -> bool:
    """Return whether a process is dead for certain; False for one of another machine or container."""
    if not space or space != process_space() or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
