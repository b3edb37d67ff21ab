"""brainctl snapshot save --link, and snapshot status of what it made."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from brainctl.cli.session import Session
from brainctl.commands.store.fields import show
from brainctl.errors import BadArguments, StoreInUse
from brainctl.output.gotext import size
from brainctl.stores.schemes import Can, forms
from brainctl.stores.urls import directory_of, of_directory

if TYPE_CHECKING:
    from brainctl.backup.hard_links import Saved


async def save_links(session: Session, target: Path, base: Path | None) -> None:
    """Back a directory up, under its lock, or beside the server that has it."""
    from brainctl.backup.hard_links import save
    from brainctl.backup.point_in_time import newest_records
    from brainctl.engine.offline.info import read_info
    from brainctl.engine.recovery import store_directory
    from brainctl.engine.vfs import directory_lock
    from brainctl.engine.vfs.filesystem import OsFileSystem
    from brainctl.mvcc.record_names import CHECKPOINT

    url = session.settings.store
    directory = directory_of(url)
    if directory is None:
        raise BadArguments(
            f"snapshot save --link needs --store {forms(Can.FILES)}: only a directory of this machine has files"
        )
    store_directory.must_be_store(directory)
    try:
        held = directory_lock.acquire(str(directory), OsFileSystem(), os.getpid())
    except StoreInUse:
        holder = directory_lock.holder(str(directory), OsFileSystem())
        if holder is None or not holder.endpoint:
            raise
        session.admission.to_read(newest_records(directory).get(CHECKPOINT), url)
        saved = await _beside(session, directory, target, base, holder.endpoint)
    else:
        try:
            session.admission.to_read(read_info(directory).records.get(CHECKPOINT), url)
            saved = await asyncio.to_thread(save, directory, target, base)
        finally:
            held.release()
    backup = saved.backup
    session.say(
        f"Backup of revision {backup.revision} saved at {target}: {saved.linked} of {len(backup.own)} files linked, "
        f"{size(saved.copied_bytes)} copied"
    )


async def _beside(session: Session, directory: Path, target: Path, base: Path | None, endpoint: str) -> "Saved":
    """Back up a store that is being served: up to the revision that is durable when its files are linked."""
    from brainctl.backup.hard_links import save

    async with session.open(endpoint=endpoint) as store:
        loop = asyncio.get_running_loop()

        def durable() -> int:
            status = asyncio.run_coroutine_threadsafe(store.status(), loop).result()
            return int(status.header.revision)

        return await asyncio.to_thread(save, directory, target, base, durable)


def show_backup(session: Session, directory: Path) -> None:
    """Show what is in a backup, and what it is based on."""
    from brainctl.backup.hard_links import chain
    from brainctl.backup.point_in_time import newest_records
    from brainctl.mvcc.record_names import CHECKPOINT

    links = chain(directory)
    backup = links[0][1]
    session.admission.to_read(newest_records(directory).get(CHECKPOINT), of_directory(str(directory)))
    own = sum((directory / name).stat().st_size for name in backup.own)
    fields = {
        "store": f"{backup.store:016x}",
        "revision": str(backup.revision),
        "compacted": str(backup.compacted),
        "files": str(len(backup.files)),
        "own files": str(len(backup.own)),
        "size of own files": str(own),
        "based on": " ".join(str(path) for path, _ in links[1:]),
    }
    show(session, {name: value for name, value in fields.items() if value})
