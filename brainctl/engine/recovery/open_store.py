"""Open the store in a directory: lock it, read its manifest, and read what that names."""

import os
from contextlib import suppress
from random import Random, SystemRandom
from typing import NamedTuple

from brainctl.engine.format.file_names import is_piece, is_segment, is_spare, run_name, segment_name
from brainctl.engine.index.run_reader import Run
from brainctl.engine.log import manifest
from brainctl.engine.log.log_writer import io_failure
from brainctl.engine.log.manifest import Listing, Manifest
from brainctl.engine.recovery import store_directory
from brainctl.engine.recovery.recover import recover
from brainctl.engine.recovery.recovered import Recovered
from brainctl.engine.stats import Stats
from brainctl.engine.vfs import directory_lock
from brainctl.engine.vfs.filesystem import FileSystem, Lock
from brainctl.errors import IndexDamaged, StoreDamaged


class Opened(NamedTuple):
    """A store that this process owns."""

    directory: str
    fs: FileSystem
    held: Lock
    """The lock of the directory."""
    names: Manifest
    """The manifest."""
    state: Recovered


def open_store(directory: str, fs: FileSystem, rng: Random | None = None) -> Opened:
    """Open the store in `directory`, or make a new one where there is none; raises the errors of `Engine.open`."""
    try:
        store_directory.must_be_ours(directory, fs)
        fs.make_directory(directory)
        held = directory_lock.acquire(directory, fs, os.getpid())
    except OSError as error:
        raise io_failure(error, directory) from error
    try:
        stats = Stats()
        listing = _listing(directory, fs, stats, rng or SystemRandom())
        names = Manifest(directory, fs, stats, listing)
        state = _recover(directory, fs, listing, names)
        _remove_orphans(directory, fs, listing)  # only once the store is known to be intact, and of this format
        for part in state.end.obsolete:
            part.close()
            names.replace(part.number, None)
            fs.unlink(part.path)
    except OSError as error:
        held.release()
        raise io_failure(error, directory) from error
    except BaseException:
        held.release()
        raise
    return Opened(directory, fs, held, names, state)


def remove_store(directory: str, fs: FileSystem) -> None:
    """Remove the store in `directory`, its manifest last.

    Raises:
        StoreInUse: a process has it open.
        OSError: a file cannot be removed.
    """
    held = directory_lock.acquire(directory, fs, os.getpid())
    try:
        for name in sorted(fs.names(directory)):
            if is_piece(name) or is_spare(name) or name.startswith(manifest.NAME):
                fs.unlink(f"{directory}/{name}")
        fs.sync_directory(directory)
    finally:
        held.release()


def _listing(directory: str, fs: FileSystem, stats: Stats, rng: Random) -> Listing:
    """Return what the manifest names; a new manifest is made where there are no segments.

    Raises:
        StoreDamaged: the manifest is damaged, or is missing and there are segments.
    """
    listing = manifest.load(directory, fs)
    if listing is None:
        if any(map(is_segment, fs.names(directory))):
            raise StoreDamaged(f"{directory}/{manifest.NAME}: the file is missing, but there are segments (offset 0)")
        listing = Listing(rng.getrandbits(64), {})
        manifest.create(directory, fs, stats, listing)
    return listing


def _recover(directory: str, fs: FileSystem, listing: Listing, names: Manifest) -> Recovered:
    """Read a store. Runs that are damaged are dropped, and what they hold is read from the log.

    Raises:
        StoreDamaged: the log is damaged.
    """
    if listing.runs:
        try:
            runs = [Run.open(directory, fs, listing.store, number) for number in listing.runs]
            return recover(directory, fs, listing, runs)
        except IndexDamaged:
            pass  # all that it held is in the log
    state = recover(directory, fs, listing)
    if listing.runs:
        names.list_runs(())
    for number in listing.runs:
        with suppress(FileNotFoundError):
            fs.unlink(f"{directory}/{run_name(number)}")
    return state


def _remove_orphans(directory: str, fs: FileSystem, listing: Listing) -> None:
    """Remove files that a crash has left: not yet part of the store, or no longer."""
    wanted = {segment_name(*segment) for segment in listing.segments.items()}
    wanted.update(map(run_name, listing.runs))
    for name in fs.names(directory):
        orphan = is_piece(name) and name not in wanted
        if orphan or is_spare(name) or name == f"{manifest.NAME}.new":
            fs.unlink(f"{directory}/{name}")
