"""Save what is readable of a damaged store into a new one, and report what was lost.

The new store never shows less of the past than it seems to: it is compacted behind the last revision of which something
is missing, so that every revision that can still be read, and every watch that can still be begun, is complete except
for the keys that are named as lost.
"""

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from brainctl.engine.engine import Engine
from brainctl.engine.format.index_entry import DELETED, SHIFT
from brainctl.engine.format.record import KIND, META_SET, RecordHeader, header_of, key_of, version_of
from brainctl.engine.index.run_merge import merged, rows
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK
from brainctl.engine.offline import rebuild
from brainctl.engine.offline.damage_survey import Found, Loss, Survey, survey
from brainctl.engine.vfs import directory_lock
from brainctl.engine.vfs.filesystem import FileSystem, OsFileSystem
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion


class LostVersion(NamedTuple):
    """A version of a key that is known to have been there, and cannot be read."""

    key: bytes
    file: str
    offset: int
    """The offset at which it was first written."""
    first: int
    """The first of the revisions of which one was its own."""
    last: int
    """The last of these revisions; 0 when it is not known."""
    kept: int
    """The revision of the version of the key that the new store has in its place; 0 when it has none."""
    newer: bool
    """Whether that is a newer one, so that only history was lost."""


class Repaired(NamedTuple):
    """The result of a repair."""

    revision: int
    compacted: int
    keys: int
    records: int
    """The number of intact records that were found."""
    losses: list[Loss]
    """The stretches of files in which nothing was intact."""
    versions: list[LostVersion]
    """The versions that are known to be lost."""
    findings: list[str]
    """Findings beside these."""

    @property
    def complete(self) -> bool:
        """Return whether nothing that the store held is missing."""
        return not self.losses and not self.versions


@dataclass
class _State:
    """The keys at the revision up to which history is dropped."""

    at: int
    base: dict[bytes, Found] = field(default_factory=dict)
    """The newest versions up to that revision, tombstones among them."""
    later: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Address and revision of the newest versions after it."""
    lost: dict[int, LostVersion] = field(default_factory=dict)
    """Lost versions by address."""


def repair(source: str, target: Path, bump: int = 0, fs: FileSystem | None = None) -> Repaired:
    """Save what is readable of the store in `source` into a new one, which appears at `target` when it is durable.

    The source is only read.

    Args:
        source: the directory of the damaged store.
        target: that of the new one.
        bump: revisions by which the store's is raised; all before the result are compacted.
        fs: the file system of the source.

    Raises:
        NotEmpty: there is something at the target.
        StoreInUse: a process has the source open.
        StoreDamaged: nothing shows which store the source is.
        OSError: a file cannot be read or written.
    """
    fs = fs or OsFileSystem()
    _must_be_idle(source, fs)
    found = survey(source, fs)
    with rebuild.fresh(target) as part:
        engine = Engine.open(part)
        try:
            return save(found, engine, bump)
        finally:
            engine.close()


def save(found: Survey, engine: Engine, bump: int = 0) -> Repaired:
    """Write what was found into an empty store, as `repair` does.

    Raises:
        StoreFull: the disk is full.
        StoreFailed: any other I/O error.
    """
    state, compacted = _state(found, bump)
    _compare_with_runs(found, state)
    rebuild.write(engine, _commits(found, state, compacted, engine, found.revision + bump))
    if found.meta_stale:
        found.findings.append("leases, alarms, users and roles are those of before what was lost")
    if any(loss.is_open for loss in found.losses):
        found.findings.append(
            f"the log ends in what was lost: there may have been revisions above {found.revision}; "
            "--bump-revision keeps clients from taking new ones for those"
        )
    lost = [state.lost[address] for address in sorted(state.lost)]
    return Repaired(
        engine.view.revision, engine.view.compacted, engine.keys, found.records, found.losses, lost, found.findings
    )


def _must_be_idle(source: str, fs: FileSystem) -> None:
    """Check that no process has the store open. A disk that can only be read is not locked.

    Raises:
        StoreInUse: a process has it open.
    """
    try:
        holder = directory_lock.holder(source, fs)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        return
    if holder is not None:
        raise directory_lock.in_use(source, holder)


def _state(found: Survey, bump: int) -> tuple[_State, int]:
    """Return the keys as the new store begins with them, and the revision up to which it is compacted."""
    lost = max((found.revision if loss.is_open else loss.last for loss in found.losses), default=0)
    compacted = max(found.compacted, min(lost + 1, found.revision) if lost else 0)
    state = _State(max(compacted - 1 if compacted > lost else compacted, found.imported))
    if bump:
        compacted = found.revision + bump
        state.at = compacted
    for one in found.found():
        if one.data[KIND] < META_SET:
            _follow_version(found, state, one)
    return state, compacted


def _follow_version(found: Survey, state: _State, one: Found) -> None:
    """Add a version of a key to the state; versions come in the order of the log."""
    header = header_of(one.data)
    mod = header.mod_revision
    key = key_of(one.data)
    _check_previous(found, state, one, mod, header.previous)
    if mod <= state.at:
        state.base[key] = one._replace(data=b"")  # without the bytes: all keys may be here at once
        return
    if key not in state.later and not _follows(found, state.base.get(key), header):
        state.base.pop(key, None)
    state.later[key] = (one.address, mod)


def _follows(found: Survey, before: Found | None, later: RecordHeader) -> bool:
    """Return whether a later version may come right after this one."""
    if before is None or not found.losses:
        return True
    old = header_of(_read(found, before))
    if later.version > 1:
        return old.version == later.version - 1 and old.create_revision == later.create_revision
    return (old.version == 0) == (later.version == 1)


def _check_previous(found: Survey, state: _State, one: Found, mod: int, previous: int) -> None:
    """Add the version before this one to the lost ones if it lay in a damaged segment and was not compacted away."""
    sound = found.damaged.get(previous >> OFFSET_BITS)
    if sound is None or previous in sound or mod <= found.compacted:
        return
    key = key_of(one.data)
    state.lost[previous] = _lost(found, key, previous, mod, newer=True)


def _lost(found: Survey, key: bytes, address: int, kept: int, *, newer: bool) -> LostVersion:
    """Return what is known of a lost version: where it was, and the revisions of which one was its own."""
    number, offset = address >> OFFSET_BITS, address & OFFSET_MASK
    there = [loss for loss in found.losses if loss.number == number]
    # In a log segment the offset in the file is that of the first writing; in any other the hole is not known.
    exact = [loss for loss in there if loss.offset <= offset < loss.offset + loss.length and loss.in_log]
    holes = exact or there
    first = min(loss.first for loss in holes)
    last = 0 if any(loss.is_open for loss in holes) else max(loss.last for loss in holes)
    if newer:
        last = min(last or kept - 1, kept - 1)
    return LostVersion(key, there[0].file, offset, first, last, kept, newer)


def _compare_with_runs(found: Survey, state: _State) -> None:
    """Take from the runs of the index which newest versions are lost, and which keys were deleted."""
    if not found.losses:
        return
    for key, entry in rows(merged(found.runs, None)):
        address = entry >> SHIFT
        sound = found.damaged.get(address >> OFFSET_BITS)
        if sound is None or address in sound:
            continue
        before, later = state.base.get(key), state.later.get(key)
        if (before is not None and before.address > address) or (later is not None and later[0] > address):
            continue  # it was replaced, and may have been dead
        if entry & DELETED:
            state.base.pop(key, None)
            continue
        kept = 0 if before is None else header_of(_read(found, before)).mod_revision
        state.lost[address] = _lost(found, key, address, kept, newer=False)


# -- the new store ----------------------------------------------------------------------------------------------


def _commits(found: Survey, state: _State, compacted: int, engine: Engine, revision: int) -> Iterator[Commit]:
    """Yield the commits of the new store: small records, the base, the history, and one that raises its revision."""
    yield rebuild.records(engine, found.meta)
    yield from rebuild.base(_base(found, state.base), state.at)
    later = (one for one in found.found() if header_of(one.data).mod_revision > state.at)
    yield from rebuild.history((version_of(one.data) for one in later if one.data[KIND] < META_SET), engine)
    if engine.view.revision < revision or engine.view.compacted < compacted:
        yield Commit(max(revision, engine.view.revision), compact=compacted)


def _base(found: Survey, base: Mapping[bytes, Found]) -> Iterator[KeyVersion]:
    """Yield the live versions of the base in key order."""
    maps: dict[str, mmap] = {}
    for key in sorted(base):
        version = version_of(_read(found, base[key], maps))
        if version.version:
            yield version


def _read(found: Survey, one: Found, maps: dict[str, mmap] | None = None) -> bytes:
    """Return the bytes of a record that was found intact."""
    maps = {} if maps is None else maps
    name = one.part.name
    if name not in maps:
        file = found.fs.open(f"{found.directory}/{name}", write=False)
        maps[name] = file.map()
        file.close()
    data = maps[name]
    return data[one.offset : one.offset + int.from_bytes(data[one.offset : one.offset + 4], "little")]
