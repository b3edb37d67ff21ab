"""brainctl snapshot save, status, restore."""

import asyncio
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import command, group
from brainctl.cli.progress import Progress, keys, megabytes, progress, stages
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.client.failure import CommandFailed, must_be_file
from brainctl.commands.snapshot.links import save_links, show_backup
from brainctl.errors import BadArguments, BrainctlError, ExitCode, SnapshotDamaged, next_step
from brainctl.output.answers import FileStatus
from brainctl.stores.store import Store

_DIGEST_BYTES = 32
_AGAIN = "save it again"
_SECTOR = 512
"""The database is whole sectors; the digest behind it is what is over."""


FileArgument = Annotated[list[str] | None, typer.Argument(metavar="FILE", show_default=False)]


class Save(NamedTuple):
    """To where, and how."""

    path: Path
    link: bool
    base: Path | None


def parse_save(
    args: FileArgument = None,
    link: Annotated[
        bool, typer.Option("--link", help="back up a local store: FILE becomes a directory of hard links to its files")
    ] = False,
    base: Annotated[
        str, typer.Option("--base", metavar="DIR", help="with --link: leave out what the backup in DIR has already")
    ] = "",
) -> Save:
    """Save a snapshot of the store into FILE, as etcd writes it. There is no time limit, unless --command-timeout is
    given.

    With --link, FILE becomes a directory with the files of a store on this machine: closed segments as hard links,
    which takes no time and no space, the end of the log as a copy; on another file system all are copies. A server that
    has the store goes on. `snapshot restore` takes either. A copy that a migration has not finished is saved with
    --link alone, which keeps its record, unless --even-unfinished is given.
    """
    if args is None or len(args) != 1:
        raise BadArguments("snapshot save expects one argument <filename>")
    if not Path(args[0]).name:
        raise BadArguments(f"snapshot save: {args[0]!r} is no name of a file")
    if base and not link:
        raise BadArguments("--base needs --link: a database file of etcd is always whole")
    return Save(Path(args[0]), link, Path(base) if base else None)


async def save(session: Session, plan: Save) -> None:
    """Write FILE.part, check its digest, make it durable, and give it its name."""
    if plan.link:
        await save_links(session, plan.path, plan.base)
        return
    path = plan.path
    session.require_tls_files()
    if not session.settings.store and len(session.settings.endpoints) != 1:
        asked = " ".join(session.settings.endpoints)
        text = f"snapshot must be requested to one selected node, not multiple [{asked}]"
        raise CommandFailed(text, ExitCode.INTERRUPTED)
    limit = session.settings.command_timeout if session.settings.command_timeout_given else None
    part = path.with_name(path.name + ".part")
    try:
        with progress("saving", megabytes) as shown:
            async with session.open() as store, asyncio.timeout(limit):
                version = await _receive(store, part, shown)
        part.replace(path)
        _sync_directory(path.parent)
    except TimeoutError:
        raise CommandFailed(f"the snapshot took longer than {limit:g} s", ExitCode.TIMEOUT) from None
    except OSError as error:
        raise CommandFailed(f"could not write {path}: {error.strerror}", ExitCode.INTERRUPTED).advised(
            next_step(error)
        ) from error
    except BrainctlError as error:
        from brainctl.stores.unfinished import Unfinished

        if isinstance(error, Unfinished) or error.exit_code is ExitCode.TIMEOUT:
            raise
        raise CommandFailed(str(error), ExitCode.INTERRUPTED).advised(error.advice) from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    session.say(f"Snapshot saved at {path}")
    if version:
        session.say(f"Server version {version}")


async def _receive(store: Store, part: Path, progress: Progress) -> str:
    """Write the stream into `part`, private and synced, and return the version of the server.

    The last 32 bytes are the SHA-256 of what is before them.

    Raises:
        CommandFailed: The digest is missing, or differs.
    """
    digest = hashlib.sha256()
    size, tail, version = 0, b"", ""
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        async for response in store.snapshot():
            version = response.version or version
            file.write(response.blob)
            size += len(response.blob)
            progress(size, size + response.remaining_bytes)
            tail += response.blob
            digest.update(tail[:-_DIGEST_BYTES])
            tail = tail[-_DIGEST_BYTES:]
        if size % _SECTOR != _DIGEST_BYTES:
            raise CommandFailed(f"sha256 checksum not found [bytes: {size}]", ExitCode.INTERRUPTED).advised(_AGAIN)
        if digest.digest() != tail:
            text = "the snapshot was damaged on its way: its sha256 differs"
            raise CommandFailed(text, ExitCode.INTERRUPTED).advised(_AGAIN)
        file.flush()
        os.fsync(file.fileno())
    return version


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parse_status(args: FileArgument = None) -> Path:
    """Show what is in a snapshot, or in a database file of etcd: hash, revision, keys, size, version."""
    if args is None or len(args) != 1:
        raise BadArguments("snapshot status requires exactly one argument")
    return Path(args[0])


def status(session: Session, path: Path) -> None:
    """Read all of it and show it."""
    from brainctl.backup.etcd_database import naming, open_database

    must_be_file(path)
    if path.is_dir():
        show_backup(session, path)
        return
    with naming(path):
        found = open_database(path).status()
    session.show(FileStatus(found.hash, found.revision, found.keys, found.size, found.version))


class Restoration(NamedTuple):
    """Options of `brainctl snapshot restore`: the snapshot, and the new store."""

    file: Path
    directory: Path
    check: bool
    bump: int
    revision: int
    """0 for the newest."""


def parse_restore(
    args: FileArgument = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="DIR", help="directory of the new store [NAME.brainctl]")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="string", help="first part of the default of --data-dir [default]")
    ] = "",
    skip_hash_check: Annotated[
        bool,
        typer.Option(
            "--skip-hash-check", help="do not verify the hash at the end of FILE, which a database file of etcd lacks"
        ),
    ] = False,
    bump_revision: Annotated[
        str, typer.Option("--bump-revision", metavar="uint", help="raise the revision by this number")
    ] = "0",
    mark_compacted: Annotated[
        bool, typer.Option("--mark-compacted", help="compact at the raised revision, so that watchers start over")
    ] = False,
    revision: Annotated[
        str, typer.Option("--revision", metavar="uint", help="restore the state at this revision (0: the newest)")
    ] = "0",
) -> Restoration:
    """Make a store for `brainctl serve --data-dir DIR` of the snapshot FILE, with its revisions, leases and users.

    Only brainctl serves it: an etcd that is started in that directory begins empty, beside it; for etcd,
    `etcdutl snapshot restore` makes one. FILE may also be a directory that `snapshot save --link` made. The new store
    is read and proved before it gets its name. With --revision it is as it was then; when the history was compacted
    beyond it, that is refused (exit code 8).
    """
    if args is None or len(args) != 1:
        raise BadArguments("snapshot restore requires exactly one argument")
    bump = read_int(bump_revision, "--bump-revision")
    if (bump > 0) != mark_compacted or bump < 0:
        raise BadArguments("--mark-compacted required if --revision-bump > 0")
    at = read_int(revision, "--revision")
    if at < 0 or (at and bump):
        raise BadArguments("--revision: a revision of the past, without --bump-revision")
    if data_dir == "":
        raise BadArguments("--data-dir is empty: which directory?")
    directory = Path(data_dir or f"{name or 'default'}.brainctl")
    return Restoration(Path(args[0]), directory, not skip_hash_check, bump, at)


def restore(session: Session, plan: Restoration) -> None:
    """Check the file, and write the store beside its place, where it goes when it is complete."""
    from brainctl.backup.etcd_database import naming

    must_be_file(plan.file)
    with naming(plan.file):
        _restore(session, plan)


def _restore(session: Session, plan: Restoration) -> None:
    from brainctl.backup.etcd_database import open_database
    from brainctl.backup.restore import restore as write_store
    from brainctl.backup.restore import restore_backup

    if plan.file.is_dir():
        if plan.bump:
            raise BadArguments("--bump-revision is for a database file of etcd")
        with progress("checking", megabytes) as shown:
            restored = restore_backup(plan.file, plan.directory, plan.revision, checked=shown)
        session.warn(f"restored revision {restored.revision} with {restored.keys} keys into {plan.directory}")
        session.admission.to_read(restored.migration, str(plan.directory))
        return
    database = open_database(plan.file)
    if plan.check:
        with progress("hashing", megabytes) as shown:
            digests = database.digests(shown)
        if digests is None:
            text = "snapshot missing hash but --skip-hash-check=false"
            raise CommandFailed(text).advised("--skip-hash-check takes a file of a data directory, which has none")
        if digests[0] != digests[1]:
            expected, found = (" ".join(map(str, digest)) for digest in digests)
            text = f"expected sha256 [{expected}], got [{found}]"
            raise CommandFailed(text).advised(f"{plan.file} is damaged: {SnapshotDamaged.advice}")
    with stages(("restoring", keys), ("checking", megabytes)) as (written, checked):
        restored = write_store(database, plan.directory, plan.bump, plan.revision, written=written, checked=checked)
    session.warn(f"restored revision {restored.revision} with {restored.keys} keys into {plan.directory}")


app = group("Save a store into a file, look at it, and make a store of it.")
app.command("save")(command(parse_save, save))
app.command("status")(command(parse_status, status))
app.command("restore")(command(parse_restore, restore))
