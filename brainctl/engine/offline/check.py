"""Read every byte of a store and verify what can be verified of it, without changing anything."""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from google.protobuf.message import DecodeError

from brainctl.engine.format import batch
from brainctl.engine.format.batch_reader import batches
from brainctl.engine.format.index_entry import SHIFT
from brainctl.engine.format.record import HEADER_SIZE, META_SET, TOMBSTONE, header_of, key_offset
from brainctl.engine.format.segment_header import DATA
from brainctl.engine.log import manifest
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK, Segment
from brainctl.engine.offline.check_index import check_runs
from brainctl.engine.offline.info import StoreInfo, describe
from brainctl.engine.recovery.recover import recover
from brainctl.engine.recovery.recovered import Recovered
from brainctl.engine.vfs import directory_lock
from brainctl.engine.vfs.filesystem import FileSystem, OsFileSystem
from brainctl.errors import StoreDamaged
from brainctl.etcdpb import kv_pb2


class Report(NamedTuple):
    """Result of a check."""

    findings: list[str]
    """A sentence for each thing that is wrong, with its file and offset. Empty: the store is intact."""
    records: int
    """The number of records that were read and found intact."""
    info: StoreInfo | None
    """Figures of the store; None when it is too damaged to be opened."""


class _Facts(NamedTuple):
    """State that later records must agree with."""

    mod: int
    create: int
    version: int


def _unseen(_done: int, _total: int) -> None:
    """Do nothing with the progress of a check."""


def check(
    directory: str | os.PathLike[str],
    fs: FileSystem | None = None,
    progress: Callable[[int, int], None] = _unseen,
) -> Report:
    """Check the store in `directory`, and return what is wrong with it.

    Verified are: every CRC; that each record lies at its address and says of its key-value what that says of itself;
    that revisions ascend, no batch omits one, and sub-revisions count up; that each version follows the one before it;
    that nothing that a reader can ask for is missing; that the index on the disk, by every way of asking it, says what
    the log says. An unfinished write at the end is no finding: opening the store cuts it.

    Args:
        directory: that of the store.
        fs: the file system.
        progress: called with the bytes of the log that are verified, and with all of them.

    Raises:
        StoreInUse: another process has it open.
        OSError: it cannot be read.
    """
    fs = fs or OsFileSystem()
    directory = os.fspath(directory)
    held = directory_lock.acquire(directory, fs, os.getpid())
    try:
        listing = manifest.load(directory, fs)
        if listing is None:
            return Report([f"{directory}/{manifest.NAME}: the file is missing (offset 0)"], 0, None)
        state = recover(directory, fs, listing, repair=False)
        findings = list(check_runs(directory, fs, listing, state))
    except StoreDamaged as damage:
        return Report([str(damage)], 0, None)
    finally:
        held.release()
    return _prove(state, findings, progress)


def _prove(state: Recovered, findings: list[str], progress: Callable[[int, int], None]) -> Report:
    """Verify the records of a store that was read, and report on them."""
    facts: dict[int, _Facts] = {}
    done, total = 0, sum(part.size for part in state.segments.values())
    before: Segment | None = None
    for number in sorted(state.segments):
        part = state.segments[number]
        try:
            findings += _segment(part, facts, state)
        except StoreDamaged as damage:
            findings.append(str(damage))
        findings += _batches(part, before)
        before = part
        part.close()
        done += part.size
        progress(done, total)
    findings += _chains(state, facts)
    return Report(findings, len(facts), describe(state))


def _segment(part: Segment, facts: dict[int, _Facts], state: Recovered) -> Iterator[str]:
    """Yield what is wrong with the records of a segment, each for itself and beside its neighbours."""
    last = (0, -1)
    for offset, record in part.records():
        header = header_of(record)
        mod, sub, kind = header.mod_revision, header.sub, header.kind
        address = part.number << OFFSET_BITS | offset
        if kind >= META_SET:
            continue
        facts[address] = _Facts(mod, header.create_revision, header.version)
        problem = _contradiction(record)
        if problem:
            yield f"{part.path}: the record first written at offset {offset} {problem}"
        if kind <= TOMBSTONE:
            if (mod, sub) <= last or mod > state.end.revision:
                yield f"{part.path}: the record first written at offset {offset} is out of order"
            last = (mod, sub)


def _contradiction(record: bytes) -> str | None:
    """Return what the header of a record and its key-value disagree about, None when they agree."""
    header = header_of(record)
    try:
        kv = kv_pb2.KeyValue.FromString(record[HEADER_SIZE:-4])
    except DecodeError:
        return "holds no key-value"
    start = HEADER_SIZE + key_offset(header.key_length)
    if kv.key != record[start : start + header.key_length]:
        return "names another key than its key-value"
    said = (header.mod_revision, header.create_revision, header.version, header.lease)
    if (kv.mod_revision, kv.create_revision, kv.version, kv.lease) != said:
        return "names other revisions than its key-value"
    return "is a tombstone with a version" if (header.kind == TOMBSTONE) != (header.version == 0) else None


def _batches(part: Segment, before: Segment | None) -> Iterator[str]:
    """Yield batches that do not begin with the revision after the last one, and bytes between batches that are not
    zero.

    No reader looks at those bytes, but nobody wrote them.
    """
    if part.extents is not None:
        return
    revision = 0
    follows = before is not None and before.extents is None and before.number + 1 == part.number
    for _offset, header in _headers(before) if before is not None and follows else ():
        revision = header.revision
    for offset, header in _headers(part):
        if revision and header.first != revision + 1:
            yield f"{part.path}: the batch at offset {offset} begins with revision {header.first} after {revision}"
        revision = header.revision
        first, last = offset + batch.HEADER_SIZE + header.length, offset + header.span
        if any(part.mapped[first:last]):
            yield f"{part.path}: the padding at offset {first} is not zero"


def _headers(part: Segment) -> Iterator[tuple[int, batch.BatchHeader]]:
    """Yield (offset, header) of the batches of a log segment, up to its end or to the first that is damaged."""
    return batches(part.mapped, part.seed, DATA, part.end)


def _chains(state: Recovered, facts: dict[int, _Facts]) -> Iterator[str]:
    """Yield versions that readers may step to from newer ones, and that are missing or do not fit."""
    keys, entries = state.index.all(b"", None)
    for key, found in zip(keys, entries, strict=True):
        newest = address = found >> SHIFT
        while address in facts:
            part = state.segments[address >> OFFSET_BITS]
            header = header_of(part.record(address & OFFSET_MASK))
            mod, version, previous = header.mod_revision, header.version, header.previous
            if mod <= state.end.compacted or not previous or (version == 1 and previous not in facts):
                break
            before = facts.get(previous)
            where = f"{part.path}: the record first written at offset {address & OFFSET_MASK}"
            if before is None:
                yield f"{where} follows a version of {key!r} that is missing"
                break
            follows = before.version == 0 if version == 1 else before.version > 0
            if version > 1:
                follows = before.version == version - 1 and before.create == header.create_revision
            if not follows or before.mod >= mod:
                yield f"{where} does not follow the version of {key!r} that it names"
            address = previous
        if newest not in facts:
            where = f"segment {newest >> OFFSET_BITS}: the newest version of {key!r}"
            yield f"{where} is missing (offset {newest & OFFSET_MASK})"
