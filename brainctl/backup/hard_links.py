"""Backups of a local store, file by file: hard links if possible, and only what is new since another backup.

Closed segments and runs never change, so a hard link to one is a copy of it that costs nothing. The segment at the end
of the log is copied, up to the newest durable revision. A backup is complete or not there; nothing of the store is
changed, and a server that has it open goes on.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from crc32c import crc32c

from brainctl.engine.format import batch
from brainctl.engine.format.batch import BatchHeader
from brainctl.engine.format.batch_reader import batches
from brainctl.engine.format.file_names import run_name, segment_name
from brainctl.engine.format.segment_header import DATA, is_recycled
from brainctl.engine.log import manifest, torn_write
from brainctl.engine.log.manifest import Listing
from brainctl.engine.offline import rebuild
from brainctl.engine.recovery import store_directory as place
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.errors import InvalidInput, SnapshotDamaged, StoreDamaged, StoreFailed, StoreTooNew

NAME = place.BACKUP
"""The file that makes a directory a backup: one line of JSON, and one with its CRC-32C in hexadecimal."""
FORMAT = 1
"""The format of the description; another one is refused."""
_ATTEMPTS = 100
"""Number of times that a backup begins anew after reclaim has removed a file that was about to be linked."""


class Backup(NamedTuple):
    """The description of a backup, from its file NAME."""

    store: int
    """The identity of the store."""
    revision: int
    """The newest revision in it."""
    compacted: int
    segments: dict[int, int]
    """Segment numbers and their generations, as in a manifest."""
    runs: tuple[int, ...]
    own: frozenset[str]
    """The files that are in it; the others are in the backup that it is based on."""
    base: str
    """The directory of the backup that it is based on, relative to its own; empty when it stands alone."""

    @property
    def files(self) -> list[str]:
        """Return the names of all files of the store."""
        return [*(segment_name(*segment) for segment in sorted(self.segments.items())), *map(run_name, self.runs)]


class Saved(NamedTuple):
    """The result of saving a backup."""

    backup: Backup
    linked: int
    """Number of files that were linked, not copied."""
    copied_bytes: int


def save(directory: Path, target: Path, base: Path | None = None, durable: Callable[[], int] | None = None) -> Saved:
    """Back the store in `directory` up into the new directory `target`, without the files that `base` already has.

    It is durable on return.

    Args:
        directory: The store.
        target: The directory to create.
        base: Another backup of the same store, or None.
        durable: Returns the newest durable revision of the server that has the store open; it is called once the files
            are linked. None when the caller holds the lock of the store.

    Raises:
        NotEmpty: `target` is not empty.
        InvalidInput: There is no store, or `base` is no backup of it.
        StoreDamaged: The end of the log, or `base`, is damaged.
        StoreFailed: The files of the store are replaced faster than they can be linked.
        OSError: A file cannot be read or written.
    """
    known = load(base) if base is not None else None
    with rebuild.fresh(target) as part:
        saved = _save(directory, part, durable, known)
        backup = saved.backup
        if known is not None and base is not None:
            if backup.store != known.store:
                raise InvalidInput(f"{base} is a backup of another store: --base wants one of this store")
            backup = backup._replace(base=os.path.relpath(base, target))
        else:
            line = manifest.render(Listing(backup.store, backup.segments, backup.runs))
            _write(part / manifest.NAME, line)
        _write(part / NAME, _render(backup))
        rebuild.sync_directory(part)
    return saved._replace(backup=backup)


def _save(directory: Path, part: Path, durable: Callable[[], int] | None, known: Backup | None) -> Saved:
    """Bring the files of the store to `part`; begin anew when reclaim has replaced one meanwhile.

    Raises:
        InvalidInput: There is no store.
        StoreFailed: Files are replaced faster than they can be linked.
    """
    for _ in range(_ATTEMPTS):
        listing = manifest.load(str(directory), OsFileSystem())
        if listing is None:
            raise place.no_store(directory)
        try:
            return _gather(directory, part, listing, durable, known)
        except FileNotFoundError:
            for path in part.iterdir():
                path.unlink()
    raise StoreFailed(f"{directory}: its files are replaced faster than they can be linked").advised("try again")


def _gather(
    directory: Path, part: Path, listing: Listing, durable: Callable[[], int] | None, known: Backup | None
) -> Saved:
    """Bring all files of a listing to `part`.

    Raises:
        FileNotFoundError: One has been replaced since the listing was read.
    """
    segments = dict(listing.segments)
    names = Backup(listing.store, 0, 0, segments, listing.runs, frozenset(), "").files
    there = frozenset(known.files) - _tails(known) if known is not None else frozenset[str]()
    copied = 0
    for name in names:
        # Link also the files that are dropped again below: the engine does not recycle a segment with two links.
        copied += _bring(directory / name, part / name)
    last = durable() if durable is not None else None
    header = _end_log(part, listing, segments, last)
    backup = Backup(listing.store, header.revision, header.compacted, segments, listing.runs, frozenset(), "")
    for name in there & set(backup.files):
        (part / name).unlink()
    linked = sum((part / name).stat().st_nlink > 1 for name in backup.files if (part / name).exists())
    own = frozenset(name for name in backup.files if (part / name).exists())
    return Saved(backup._replace(own=own), linked, copied + (part / segment_name(max(segments), 0)).stat().st_size)


def _tails(backup: Backup) -> frozenset[str]:
    """Return the files that may have grown since: the segment at which the log ended."""
    return frozenset({segment_name(max(backup.segments), 0)})


def _bring(source: Path, target: Path) -> int:
    """Link a file, or copy it when it cannot be linked; return how many bytes were copied."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
    else:
        return 0
    before = source.stat().st_ino
    shutil.copyfile(source, target)
    if source.stat().st_ino != before:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(source))
    target.chmod(0o600)
    _sync(target)
    return target.stat().st_size


def _end_log(part: Path, listing: Listing, segments: dict[int, int], durable: int | None) -> BatchHeader:
    """Cut the log of a backup at the newest durable revision, and return its last batch.

    Segments behind it, which were made ahead, are dropped.

    Raises:
        StoreDamaged: Damage, and not an unfinished write, is what ends the log.
    """
    rests: list[_Rest] = []
    for number in sorted(segments, reverse=True):
        path = part / segment_name(number, segments[number])
        if segments[number]:
            raise StoreDamaged(f"{path.name}: the log ends in a packed segment (offset 0)")
        seed = batch.salt(listing.store, number)
        data = path.read_bytes()
        last, at = _last_batch(data, seed, durable)
        rests.append(_Rest(path.name, data, at, seed))
        if last is None:
            path.unlink()
            del segments[number]
            continue
        for rest in rests:
            _check_rest(rest, last, durable)
        _shorten(path, data[:at], len(data))
        return last
    raise StoreDamaged(f"{part}: no segment holds anything (offset 0)")


class _Rest(NamedTuple):
    """The bytes of a segment that follow its batches."""

    name: str
    data: bytes
    offset: int
    seed: int


def _last_batch(data: bytes, seed: int, durable: int | None) -> tuple[BatchHeader | None, int]:
    """Return the last sound batch of a log segment at or below the durable revision, and its end.

    The batch is None when there is none.
    """
    last, end = None, DATA
    for offset, header in batches(data, seed, DATA, len(data), records=True):
        if durable is not None and header.revision > durable:
            break
        last, end = header, offset + header.span
    return last, end


def _check_rest(rest: _Rest, last: BatchHeader, durable: int | None) -> None:
    """Check that nothing durable follows `last`, the end of the log; an unfinished write may follow.

    Raises:
        StoreDamaged: A durable batch is damaged.
    """
    stale = is_recycled(rest.data)
    if torn_write.is_clean(rest.data, rest.offset, rest.seed, stale=stale):
        return
    if durable is None:
        torn_write.check_torn(rest.data, rest.offset, last.sequence + 1, rest.seed, rest.name, stale=stale)
    elif last.revision < durable:
        raise StoreDamaged(f"{rest.name}: the batch at offset {rest.offset} is damaged")


def _shorten(path: Path, data: bytes, size: int) -> None:
    """Replace a link by a file of `size` bytes that begins with `data`."""
    path.unlink()
    with path.open("xb") as copy:
        path.chmod(0o600)
        copy.write(data)
        copy.truncate(size)
        copy.flush()
        os.fsync(copy.fileno())


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    _sync(path)


def _sync(path: Path) -> None:
    """Make a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- reading one ------------------------------------------------------------------------------------------------


def _render(backup: Backup) -> bytes:
    """Return the content of the file NAME."""
    fields = {
        "format": FORMAT,
        "store": f"{backup.store:016x}",
        "revision": backup.revision,
        "compacted": backup.compacted,
        "segments": sorted(backup.segments.items()),
        "runs": backup.runs,
        "own": sorted(backup.own),
        "base": backup.base,
    }
    line = json.dumps(fields).encode() + b"\n"
    return line + b"%08x\n" % crc32c(line)


def load(directory: Path) -> Backup:
    """Return the description of the backup in a directory.

    Raises:
        InvalidInput: There is none, or it has another format.
        StoreDamaged: Its check value does not match.
        OSError: It cannot be read.
    """
    path = directory / NAME
    try:
        line, newline, check = path.read_bytes().partition(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(f"there is no backup in {directory}: `brainctl snapshot save --link` makes one") from None
    if check != b"%08x\n" % crc32c(line + newline):
        raise SnapshotDamaged(f"{path}: its check value does not match; the file is damaged at offset 0", str(path))
    fields = json.loads(line)
    if fields["format"] != FORMAT:
        raise StoreTooNew(f"{path}: format {fields['format']} is of a later build; this one reads format {FORMAT}")
    return Backup(
        int(fields["store"], 16),
        fields["revision"],
        fields["compacted"],
        dict(fields["segments"]),
        tuple(fields["runs"]),
        frozenset(fields["own"]),
        fields["base"],
    )


def chain(directory: Path) -> list[tuple[Path, Backup]]:
    """Return a backup, the one that it is based on, and so on.

    Raises:
        InvalidInput: One is missing.
        StoreDamaged: One is damaged, or is based on itself.
        OSError: One cannot be read.
    """
    found = [(directory, load(directory))]
    while base := found[-1][1].base:
        path = Path(os.path.normpath(found[-1][0] / base))
        if any(path == known for known, _ in found):
            raise SnapshotDamaged(f"{directory}/{NAME}: it is based on itself (offset 0)", f"{directory}/{NAME}")
        found.append((path, load(path)))
    return found


def assemble(directory: Path, target: Path) -> Backup:
    """Copy the store of a backup into the empty directory `target`, durably.

    Raises:
        InvalidInput: A backup is missing.
        StoreDamaged: A file is in none of the backups, or a description is damaged.
        OSError: A file cannot be read or written.
    """
    links = chain(directory)
    newest = links[0][1]
    for name in newest.files:
        source = next((path / name for path, backup in links if name in backup.own), None)
        if source is None or not source.exists():
            raise SnapshotDamaged(
                f"{directory}: {name} is in none of the backups that it is based on (offset 0)", str(directory)
            )
        shutil.copyfile(source, target / name)
        (target / name).chmod(0o600)
        _sync(target / name)
    _write(target / manifest.NAME, manifest.render(Listing(newest.store, newest.segments, newest.runs)))
    rebuild.sync_directory(target)
    return newest
