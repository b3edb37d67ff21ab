"""The lock that keeps a second process off a store, and names the process that has it."""

import json
from typing import NamedTuple

from brainctl.engine.vfs.filesystem import FileSystem, Lock
from brainctl.errors import StoreInUse

NAME = "LOCK"


class Holder(NamedTuple):
    """The process that has a store open."""

    pid: int
    endpoint: str
    """Address at which it serves the store, for example "127.0.0.1:2379"; empty when it does not."""


def acquire(directory: str, fs: FileSystem, pid: int) -> Lock:
    """Lock a store for process `pid`, and return the lock.

    Raises:
        StoreInUse: Another process has it; the message names that process.
    """
    lock = fs.lock(f"{directory}/{NAME}")
    if lock is None:
        raise in_use(directory, _read(directory, fs))
    write_holder(lock, Holder(pid, ""))
    return lock


def in_use(directory: str, holder: Holder) -> StoreInUse:
    """Return the error for a store that another process has open."""
    step = f"ask it with --endpoints={holder.endpoint}, or stop it first" if holder.endpoint else "stop it first"
    return StoreInUse(f"{directory} is in use by process {holder.pid}").advised(step)


def write_holder(lock: Lock, holder: Holder) -> None:
    """Write into the lock file who holds the lock."""
    lock.write(json.dumps(holder._asdict()).encode() + b"\n")


def holder(directory: str, fs: FileSystem) -> Holder | None:
    """Return who has the store in `directory` open right now; None when nobody has."""
    if NAME not in fs.names(directory):
        return None
    lock = fs.lock(f"{directory}/{NAME}")
    if lock is None:
        return _read(directory, fs)
    lock.release()
    return None


def _read(directory: str, fs: FileSystem) -> Holder:
    file = fs.open(f"{directory}/{NAME}", write=False)
    try:
        fields = json.loads(file.read(4096, 0) or b"{}")
    except ValueError:
        fields = {}
    finally:
        file.close()
    return Holder(fields.get("pid", 0), fields.get("endpoint", ""))
