"""The end of the log: lays batches out, and writes them.

`encode` runs on the side that owns the engine, `write` on the writer thread. A batch in between belongs to the
writer thread, and so do the file and the map of a segment until the first of its batches is published.
"""

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from crc32c import crc32c

from brainctl.clock import Durations
from brainctl.engine.format import batch as frame
from brainctl.engine.format import record
from brainctl.engine.format.batch import BatchHeader
from brainctl.engine.format.segment_header import DATA
from brainctl.engine.log import torn_write
from brainctl.engine.log.encoded_batch import EncodedBatch, LogEnd, groups, seal
from brainctl.engine.log.manifest import Manifest
from brainctl.engine.log.segment import OFFSET_BITS, Segment
from brainctl.engine.log.segment_allocator import SegmentAllocator, segment_path
from brainctl.engine.options import EngineOptions
from brainctl.engine.sector import SECTOR
from brainctl.engine.stats import Stats
from brainctl.engine.vfs.filesystem import FileSystem
from brainctl.errors import BrainctlError, StoreFailed, StoreFull, next_step
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import Steps, in_pieces

_AT_A_TIME: Final = 512
"""Changes that are laid out in a step."""


class LogWriter:
    """Appends batches to the log of one store."""

    def __init__(
        self,
        directory: str,
        fs: FileSystem,
        options: EngineOptions,
        manifest: Manifest,
        stats: Stats,
        end: LogEnd,
        newest: Callable[[bytes], int],
    ) -> None:
        self._directory = directory
        self._options = options
        self._manifest = manifest
        self.stats = stats
        self._end = end
        self._newest = newest
        self._ahead: dict[bytes, int] = {}
        """Addresses, by key, of versions that are laid out but not published."""
        self.space = SegmentAllocator(directory, fs, options, manifest, stats)
        self._next: Segment | None = None
        """The segment after the last one, when it is being made ahead."""
        self._outstanding = 0
        self.failure: BrainctlError | None = None
        """The first error of a write: nothing is written after it."""
        self.log_syncs = Durations(0.001, 14)
        """A histogram of the seconds that syncs of the log took, in the buckets that etcd has for its own."""
        self.log_writes = Durations(SECTOR, 15)
        """A histogram of the sizes of writes to the log, in bytes, without zeros ahead of it."""

    # -- the side that owns the engine --------------------------------------------------------------------------

    def encode(self, commit: Commit) -> EncodedBatch:
        """Lay a commit out after those before it; nothing is written or durable yet.

        Raises:
            StoreFailed: The log has ended with an I/O error.
            StoreFull: The log has ended for want of space.
            ValueError: An imported KeyValue does not begin with its key.
        """
        size = sum([len(change.kv) for change in commit.changes])
        laid = self._begin(commit, size)
        self._lay_changes(commit.changes, laid)
        return self._laid_out(commit, laid)

    def encode_steps(self, commit: Commit) -> Steps[EncodedBatch]:
        """Lay a commit out, as `encode` does, in steps: all must be done before the next commit is laid out."""
        size = 0
        for changes in in_pieces(commit.changes, _AT_A_TIME):
            size += sum([len(change.kv) for change in changes])
            yield len(changes) // 4
        laid = self._begin(commit, size)
        for changes in in_pieces(commit.changes, _AT_A_TIME):
            first = len(laid.parts)
            self._lay_changes(changes, laid)
            laid.joined.append(b"".join(laid.parts[first:]))
            yield 2 * len(changes)
        return self._laid_out(commit, laid)

    def _begin(self, commit: Commit, size: int) -> "_Laid":
        """Find the place of a commit whose KeyValues have `size` bytes; errors as of `encode`."""
        if self.failure is not None:
            raise self.failure
        if commit.imported:
            _check_imported(commit)
        end = self._end
        meta, flags = commit.meta, 0
        size += record.OVERHEAD * len(commit.changes) + (_meta_size(meta.items()) if meta else 0)
        need = frame.HEADER_SIZE + size
        if end.tail is None or end.offset + need > end.tail.size or not self._may_hold(end.tail, need):
            flags = frame.SNAPSHOT
            meta = {**end.meta, **meta}
            size += _meta_size(meta.items()) - _meta_size(commit.meta.items())
            self._rotate(frame.HEADER_SIZE + size)
        tail = end.tail
        assert tail is not None
        live = record.IMPORTED if commit.imported else record.PUT
        flags |= frame.HAS_META if meta else 0
        at = end.offset + frame.HEADER_SIZE
        return _Laid(tail, live, meta, size, flags, at, fresh=not commit.imported)

    def _laid_out(self, commit: Commit, laid: "_Laid") -> EncodedBatch:
        """Note the end of a commit whose changes are laid out."""
        end, size, addresses = self._end, laid.size, laid.addresses
        first = len(laid.parts)
        place = end.offset + frame.HEADER_SIZE
        version_bytes = laid.at - place
        if laid.meta:
            self._lay_meta(laid.meta, commit.revision, laid.at, laid.parts)
        if laid.joined:
            laid.joined += laid.parts[first:]
        end.sequence += 1
        self._outstanding += 1
        span = frame.aligned(place + size, self._options.alignment) - end.offset
        compacted = max(commit.compact, end.compacted)
        count = len(addresses) + len(laid.meta)
        header = BatchHeader(
            size, 0, end.sequence, 0, end.revision + 1, commit.revision, compacted, count, 0, laid.flags, span
        )
        payload = version_bytes - record.OVERHEAD * len(addresses)
        prepared = EncodedBatch(
            laid.tail, end.offset, header, laid.parts, addresses, laid.fresh, version_bytes, payload, laid.joined
        )
        end.offset += span
        end.revision = commit.revision
        end.compacted = compacted
        if commit.meta:
            _change_meta(end.meta, commit.meta)
        return prepared

    def published(self, commit: Commit, addresses: list[int]) -> None:
        """Note that the index now has the oldest batch that was not published."""
        self._outstanding -= 1
        ahead = self._ahead
        if not self._outstanding:
            ahead.clear()
            return
        for change, address in zip(commit.changes, addresses, strict=True):
            if ahead.get(change.key) == address:
                del ahead[change.key]

    @property
    def idle(self) -> bool:
        """Return whether everything that was laid out has been published."""
        return not self._outstanding

    def fail(self, failure: BrainctlError) -> None:
        """End the log: refuse all writes from now on with `failure`."""
        self.failure = self.failure or failure

    def close(self) -> None:
        """Close the files that were prepared; wait for one that is being made."""
        self.space.close()
        if self._next is not None:
            self._next.close()

    def begin_segment(self) -> None:
        """Let the next batch begin a new segment."""
        self._end.tail = None

    def _may_hold(self, part: Segment, need: int) -> bool:
        """Return whether a segment may hold a batch of `need` bytes.

        A segment whose file was used before, or may be used again, holds no batch longer than an opening looks ahead in
        it (torn_write.REACH).
        """
        return need <= torn_write.REACH or (part.size > self._options.segment_size and not part.stale)

    def _rotate(self, need: int) -> None:
        """Let the log go on in an empty segment with room for `need` bytes: a spare, one made ahead, or a new one."""
        end = self._end
        while end.spares and not self._has_room(end.spares[0], need):
            end.obsolete.append(end.spares.pop(0))
        if end.spares:
            end.tail = end.spares.pop(0)
        else:
            if self._next is not None and not self._has_room(self._next, need):
                end.obsolete.append(self._next)
                self._next = None
            end.tail = self._next or self._number(need)
            self._next = None
        end.offset = DATA

    def _has_room(self, part: Segment, need: int) -> bool:
        """Return whether an empty segment can hold a batch of `need` bytes."""
        return part.size >= DATA + need and self._may_hold(part, need)

    def _number(self, need: int = 0) -> Segment:
        """Return the next segment, which has no file yet."""
        end = self._end
        end.number += 1
        path = segment_path(self._directory, end.number)
        made = Segment(end.number, 0, path, frame.salt(self._manifest.store, end.number))
        least = self._options.segment_size + (DATA if need > torn_write.REACH else 0)
        made.size = frame.aligned(max(least, DATA + need), DATA)
        return made

    @property
    def next_segment_due(self) -> bool:
        """Return whether the log will soon need another segment, and none is being made."""
        end = self._end
        return end.tail is not None and end.offset * 2 > end.tail.size and self._next is None and not end.spares

    def allocate_next_segment(self) -> Callable[[], None]:
        """Reserve the next segment, and return the work that makes its file, for any thread."""
        self._next = self._number()
        return partial(self._make_ahead, self._next)

    def _make_ahead(self, target: Segment) -> None:
        try:
            self.space.make(target)
        except OSError as error:
            # The log tries again when it gets there: until then there may be room.
            if self._manifest.in_doubt:
                self.fail(io_failure(error, self._directory))

    def _lay_changes(self, changes: list[KeyVersion], laid: "_Laid") -> None:
        """Append the records of some changes to the batch that is being encoded."""
        pack, crc, crc_bytes = record.header_bytes, crc32c, record.crc_bytes
        ahead, newest, add, note = self._ahead, self._newest, laid.parts.append, laid.addresses.append
        at, live, base = laid.at, laid.live, laid.tail.number << OFFSET_BITS
        imported = live == record.IMPORTED
        # The hottest loop of a write, 0.8 us per put with `encode`: names are local, and the CRC is taken of the joined
        # bytes that are written anyway.
        for key, create, mod, version, lease, kv, sub in changes:
            size = len(kv) + record.OVERHEAD
            previous = 0 if imported else ahead.get(key) or newest(key)
            kind = live if version else record.TOMBSTONE
            if previous or lease or not version:
                laid.fresh = False
            body = pack(size, at, mod, create, version, lease, previous, sub, len(key), kind) + kv
            add(body + crc_bytes(crc(body)))
            address = base | at
            ahead[key] = address
            note(address)
            at += size
        laid.at = at

    def _lay_meta(self, meta: dict[bytes, bytes | None], revision: int, at: int, parts: list[bytes]) -> None:
        for name, value in meta.items():
            parts.append(record.small_record(name, value, revision, at))
            at += len(parts[-1])

    # -- the writer thread --------------------------------------------------------------------------------------

    def write(self, batches: list[EncodedBatch]) -> None:
        """Write batches, in the order in which they were encoded; they are durable on return.

        After an error the log has ended, for good. Whether the batches of the failed call are found when the store is
        opened again is unknown; everything written before is there.

        Raises:
            StoreFull: There is no space left.
            StoreFailed: Any other I/O error.
        """
        if self.failure is not None:
            raise self.failure
        try:
            for group in groups(batches, min(self._options.group_limit, torn_write.REACH)):
                self._write_group(group)
        except OSError as error:
            self.failure = io_failure(error, self._directory)
            raise self.failure from error

    def _write_group(self, group: list[EncodedBatch]) -> None:
        """Write a group of batches with one write and one sync, and count it; durable on return."""
        target = group[0].segment
        if target.file is None:
            self.space.make(target)
        first = group[0].header.sequence
        data = b"".join([seal(batch, first) for batch in group])
        offset = group[0].offset
        target.written = max(target.written, offset)
        self.space.write(target, data, offset)
        file = target.file
        assert file is not None
        began = self._options.clock.monotonic()
        file.sync()
        self.log_writes.add(len(data))
        self.log_syncs.add(self._options.clock.monotonic() - began)
        stats = self.stats
        batches = sum([frame.HEADER_SIZE + batch.header.length for batch in group])
        stats.log_bytes += batches
        stats.padding_bytes += len(data) - batches
        stats.groups += 1
        stats.syncs += 1
        stats.batches += len(group)
        stats.records += sum(batch.header.records for batch in group)
        stats.payload_bytes += sum(batch.payload_bytes for batch in group)


@dataclass(slots=True)
class _Laid:
    """The changes of a commit, as far as they are laid out."""

    tail: Segment
    live: int
    """The kind of the records of changes that are no tombstone."""
    meta: dict[bytes, bytes | None]
    """The small records that the batch holds beside them."""
    size: int
    """Bytes of all records."""
    flags: int
    at: int
    """Offset at which the next record begins."""
    fresh: bool
    """See `EncodedBatch`, as for the other fields."""
    parts: list[bytes] = field(default_factory=list)
    addresses: list[int] = field(default_factory=list)
    joined: list[bytes] = field(default_factory=list)


def io_failure(error: OSError, directory: str) -> BrainctlError:
    """Return the error of a store for an OSError: StoreFull when space ran out, else StoreFailed."""
    named = str(error.filename or "")
    text = f"{named if named.startswith(directory) else directory}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{text}; the store takes no writes")
    return StoreFailed(text).advised(next_step(error))


def _meta_size(items: Iterable[tuple[bytes, bytes | None]]) -> int:
    return sum([record.OVERHEAD + len(name) + len(value or b"") for name, value in items])


def _change_meta(meta: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> None:
    for name, value in changes.items():
        if value is None:
            meta.pop(name, None)
        else:
            meta[name] = value


def _check_imported(commit: Commit) -> None:
    """Check that each KeyValue has its key where our own marshalling puts it: records find their key there.

    Raises:
        ValueError: One has not.
    """
    for change in commit.changes:
        at = record.key_offset(len(change.key))
        if change.kv[:1] != b"\n" or change.kv[at : at + len(change.key)] != change.key:
            raise ValueError("a KeyValue must be marshalled with its fields in order")
