"""brainctl migrate status: how far a migration is, as the record in its target says."""

from pathlib import Path
from typing import NamedTuple

from brainctl.cli.session import Session
from brainctl.commands.store.fields import show
from brainctl.errors import InvalidInput, StoreDamaged
from brainctl.migrate.machine.record import Record
from brainctl.stores.schemes import Can
from brainctl.stores.store import Checkpoint
from brainctl.stores.urls import StoreUrl, having

ATTEMPTS = 5
"""Most attempts to read the files of a target while a process writes to them."""


class Status(NamedTuple):
    """The state of a migration."""

    record: Record
    epoch: int
    """Number of processes that have taken the target over."""
    holder: str
    """Words for the living process that has the target; "" when there is none."""

    def fields(self, store: str) -> dict[str, str]:
        """Return what is shown."""
        record = self.record
        return {
            "store": store,
            "phase": record.phase,
            "source": f"{record.cluster:x}",
            "history": record.history,
            "base": str(record.base),
            "watermark": str(record.watermark),
            "keys": str(record.keys),
            "keys expected": str(record.expected),
            "size of keys": str(record.size),
            "events": str(record.events),
            "resyncs": str(record.resyncs),
            "starts": str(self.epoch),
            "process": self.holder,
            "frozen by": record.frozen,
        }


async def status(session: Session, target: str) -> None:
    """Read the record of the target, without disturbing the process that migrates into it, and show it.

    Raises:
        InvalidInput: No migration has written to the target.
    """
    url = having(Can.TARGET, target)
    found = _in_files(url) if url.can(Can.FILES) else await _opened(url)
    show(session, found.fields(url.text))


def _in_files(url: StoreUrl) -> Status:
    """Read the record in a directory, and who has it."""
    from brainctl.engine.recovery.store_directory import must_be_store
    from brainctl.engine.vfs.directory_lock import holder
    from brainctl.engine.vfs.filesystem import OsFileSystem
    from brainctl.stores.checkpoint import decode_checkpoint

    must_be_store(url.path)
    content = _record(url.path)
    held = holder(str(url.path), OsFileSystem())
    words = ""
    if held is not None:
        words = f"{held.pid}, which serves it at {held.endpoint}" if held.endpoint else str(held.pid)
    return _status(url, decode_checkpoint(content) if content is not None else None, words)


def _record(directory: Path) -> bytes | None:
    """Read the record from files that may be written meanwhile; None when there is none."""
    from brainctl.engine.offline.info import read_info
    from brainctl.mvcc.record_names import CHECKPOINT

    left = ATTEMPTS
    while True:
        left -= 1
        try:
            return read_info(directory).records.get(CHECKPOINT)
        except (StoreDamaged, OSError):
            if not left:
                raise


async def _opened(url: StoreUrl) -> Status:
    from brainctl.stores.registry import open_replica

    opened = await open_replica(url.text)
    try:
        return _status(url, await opened.checkpoint(), await opened.served_by(or_migrated=True))
    finally:
        await opened.close()


def _status(url: StoreUrl, stored: Checkpoint | None, holder: str) -> Status:
    """Return what a checkpoint says.

    Raises:
        InvalidInput: There is none.
    """
    if stored is None:
        raise InvalidInput(f"no migration has written to {url.text}")
    return Status(Record.decode(stored.state), stored.epoch, holder)
