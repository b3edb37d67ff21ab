"""A store as it was at an earlier revision, made from one that still has the history after it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from brainctl.engine.engine import Engine
from brainctl.engine.format import batch
from brainctl.engine.format.record import KIND, META_SET, key_of, small_value
from brainctl.engine.offline import rebuild
from brainctl.engine.offline.inventory import remains
from brainctl.engine.offline.salvage_scan import Batch, Record, read_file, scan
from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.errors import BrainctlError, ExitCode, InvalidInput, StoreDamaged
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion

ALARMS = b"alarm/"
"""The prefix of the small records of alarms."""


class Small(NamedTuple):
    """Small records, and the revision at which the store had them."""

    records: dict[bytes, bytes]
    revision: int


def cut(source: Path, target: Path, revision: int) -> Small:
    """Write the store in `source`, as it was at `revision`, into the empty directory `target`.

    The small records are those of that revision, unless reclaim has dropped them since: then those of the next revision
    at which they are known. Alarms are left out, since they are about another disk.

    Raises:
        HistoryGone: The revision was compacted.
        InvalidInput: The store has not reached the revision.
        BrainctlError: A store cannot be opened.
    """
    old = Engine.open(source)
    try:
        must_have(old.view.revision, old.view.compacted, revision)
        small = small_records(source, revision)
        new = Engine.open(target)
        try:
            rebuild.write(new, _commits(old, new, revision, small))
        finally:
            new.close()
    finally:
        old.close()
    return small


def must_have(newest: int, compacted: int, revision: int) -> None:
    """Check that the revisions from `compacted` to `newest` contain `revision`.

    Raises:
        HistoryGone: It was compacted.
        InvalidInput: It is newer than `newest`.
    """
    if revision < compacted:
        raise HistoryGone(f"revision {revision} was compacted: what can be restored begins at {compacted}")
    if revision > newest:
        raise InvalidInput(f"revision {revision} is not there: what can be restored ends at {newest}")


class HistoryGone(BrainctlError):
    """The history has been compacted beyond the requested revision."""

    exit_code = ExitCode.COMPACTED


def _commits(old: Engine, new: Engine, revision: int, small: Small) -> Iterator[Commit]:
    """Yield the commits of the new store: small records, the state at the compacted revision, and later changes."""
    yield rebuild.records(new, small.records)
    first = old.view.compacted
    if first:
        yield from rebuild.base(_live(old, first), first)
    yield from rebuild.history(_changes(old, first + 1, revision), new)
    if new.view.revision < revision:
        yield Commit(revision)


def _live(old: Engine, revision: int) -> Iterator[KeyVersion]:
    yield from old.view.versions(b"", None, revision)


def _changes(old: Engine, first: int, last: int) -> Iterator[KeyVersion]:
    if first <= last:
        for revision in old.view.history(first, last):
            yield from revision.changes


def small_records(directory: Path, revision: int) -> Small:
    """Return the small records of the store in `directory` at `revision`, or at the next revision at which they are
    known.
    """
    fs = OsFileSystem()
    found = remains(str(directory), fs)
    records: dict[bytes, bytes] = {}
    at, known = 0, False
    for part in found.parts:
        if part.generation:
            known = False  # reclaim drops small records; the next log segment repeats them all
            continue
        data, _lost = read_file(fs, f"{directory}/{part.name}")
        for piece in scan(data, part.kind, part.seed(found.store)):
            if isinstance(piece, Batch):
                if piece.header.revision > revision and known:
                    return _without_alarms(records, at)
                if piece.header.flags & batch.SNAPSHOT:
                    records, known = {}, True
                at = piece.header.revision
            elif isinstance(piece, Record):
                _apply(records, piece.data)
    return _without_alarms(records, at)


def newest_records(directory: Path) -> dict[bytes, bytes]:
    """Return the small records at the end of a log, which may be that of a backup, or damaged.

    Every log segment begins with all of them, so only the newest one that holds anything is read. It is empty where
    nothing can be read.

    Raises:
        OSError: A file cannot be read.
    """
    fs = OsFileSystem()
    try:
        found = remains(str(directory), fs)
    except StoreDamaged:
        return {}
    for part in reversed(found.parts):
        if part.generation:
            continue
        records: dict[bytes, bytes] = {}
        known = False
        data, _lost = read_file(fs, f"{directory}/{part.name}")
        for piece in scan(data, part.kind, part.seed(found.store)):
            if isinstance(piece, Batch):
                known = known or bool(piece.header.flags & batch.SNAPSHOT)
            elif isinstance(piece, Record):
                _apply(records, piece.data)
        if known:
            return records
    return {}


def _apply(records: dict[bytes, bytes], data: bytes) -> None:
    """Apply a record of the log to the small records, if it is one of theirs."""
    kind = data[KIND]
    if kind < META_SET:
        return
    name = key_of(data)
    if kind == META_SET:
        records[name] = small_value(data)
    else:
        records.pop(name, None)


def _without_alarms(records: dict[bytes, bytes], revision: int) -> Small:
    return Small({name: value for name, value in records.items() if not name.startswith(ALARMS)}, revision)
