"""brainctl snapshot save."""

import asyncio
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from brainctl.commands._command import command, group
from brainctl.commands._failure import CommandFailed
from brainctl.errors import BadArguments, BrainctlError, ExitCode
from brainctl.session import Session
from brainctl.stores.store import Store

_DIGEST_BYTES = 32
_SECTOR = 512
"""The database is whole sectors; the digest behind it is what is over."""


def parse_save(
    args: Annotated[list[str] | None, typer.Argument(metavar="FILE", show_default=False)] = None,
) -> Path:
    """Save a snapshot of the store into FILE. There is no time limit, unless --command-timeout is given."""
    if args is None or len(args) != 1:
        raise BadArguments("snapshot save expects one argument <filename>")
    return Path(args[0])


async def save(session: Session, path: Path) -> None:
    """Write FILE.part, check its digest, make it durable, and give it its name."""
    if not session.settings.store and len(session.settings.endpoints) != 1:
        asked = " ".join(session.settings.endpoints)
        text = f"snapshot must be requested to one selected node, not multiple [{asked}]"
        raise CommandFailed(text, ExitCode.INTERRUPTED)
    limit = session.settings.command_timeout if session.settings.command_timeout_given else None
    part = path.with_name(path.name + ".part")
    try:
        async with session.open() as store, asyncio.timeout(limit):
            version = await _receive(store, part)
        part.replace(path)
        _sync_directory(path.parent)
    except TimeoutError:
        raise CommandFailed(f"the snapshot took longer than {limit:g} s", ExitCode.INTERRUPTED) from None
    except OSError as error:
        raise CommandFailed(f"could not write {path}: {error.strerror}", ExitCode.INTERRUPTED) from error
    except BrainctlError as error:
        raise CommandFailed(str(error), ExitCode.INTERRUPTED) from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    session.say(f"Snapshot saved at {path}")
    if version:
        session.say(f"Server version {version}")


async def _receive(store: Store, part: Path) -> str:
    """Write the stream into `part`, private and synced; gives the version of the server. The last 32 bytes are the
    SHA-256 of what is before them; CommandFailed when they are not.
    """
    digest = hashlib.sha256()
    size, tail, version = 0, b"", ""
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        async for response in store.snapshot():
            version = response.version or version
            file.write(response.blob)
            size += len(response.blob)
            tail += response.blob
            digest.update(tail[:-_DIGEST_BYTES])
            tail = tail[-_DIGEST_BYTES:]
        if size % _SECTOR != _DIGEST_BYTES:
            raise CommandFailed(f"sha256 checksum not found [bytes: {size}]", ExitCode.INTERRUPTED)
        if digest.digest() != tail:
            raise CommandFailed("the snapshot was damaged on its way: its sha256 differs", ExitCode.INTERRUPTED)
        file.flush()
        os.fsync(file.fileno())
    return version


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


app = group("Save a store into a file.")
app.command("save")(command(parse_save, save))
