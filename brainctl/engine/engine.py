"""The local engine: one directory, one owner, every write durable before it is visible.

All methods but `write` belong to one thread or event loop. A commit goes through three of them: `encode` gives it
its place in the log, `write` makes it durable (on a thread of its own, if wanted), `publish` makes it visible.
"""

import os
from itertools import repeat
from random import Random

from brainctl.engine.background.background_work import BackgroundWork
from brainctl.engine.background.job import Work
from brainctl.engine.format import record
from brainctl.engine.format.index_entry import SHIFT
from brainctl.engine.index.dead_versions import size_of
from brainctl.engine.log.encoded_batch import EncodedBatch
from brainctl.engine.log.log_writer import LogWriter
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK, Segment
from brainctl.engine.options import EngineOptions
from brainctl.engine.read.read_view import ReadView
from brainctl.engine.read.undo_log import UndoLog
from brainctl.engine.recovery.log_replay import BATCH_RECORDS
from brainctl.engine.recovery.open_store import Opened, open_store, remove_store
from brainctl.engine.stats import Stats
from brainctl.engine.vfs import directory_lock
from brainctl.engine.vfs.directory_lock import Holder
from brainctl.engine.vfs.filesystem import FileSystem, OsFileSystem
from brainctl.errors import BrainctlError
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.steps import STEP_KEYS, Steps

__all__ = ["EncodedBatch", "Engine", "EngineOptions"]


class Engine:
    """An open store: the log, `view`, which reads it, and `background`, which keeps it small.

    The engine gives commits their place, makes them durable, and changes what the two others see.
    """

    def __init__(self, options: EngineOptions, opened: Opened) -> None:
        """Create the engine over a store that was opened."""
        directory, fs, held, names, state = opened
        end = state.end
        self.directory = directory
        self.options = options
        self._owner = held
        self._manifest = names
        self._end = end
        self._index = state.index
        self._segments = state.segments
        self._garbage = state.garbage
        self._meta = dict(end.meta)
        """The small records by name."""
        self._writer = LogWriter(directory, fs, options, names, Stats(), end, state.index.newest)
        self.log_writes = self._writer.log_writes
        """The sizes of writes to the log, in bytes."""
        self.log_syncs = self._writer.log_syncs
        """The durations of syncs of the log."""
        self.view = ReadView(state.index, state.segments, end.revision, end.compacted, options.cache_bytes)
        """View of the durable state, for reads."""
        self.background = BackgroundWork(options, opened, self._writer, self.view, self._meta, self._write_empty)
        """Reclaim, the index on the disk, scrubs."""
        self._confirmed = 0
        """The sequence of the last empty batch, which shows that all before it was durable."""

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        fs: FileSystem | None = None,
        options: EngineOptions | None = None,
        rng: Random | None = None,
    ) -> "Engine":
        """Open the store in `directory`, or create one where there is none.

        Raises:
            InvalidInput: The directory belongs to something else.
            StoreInUse: Another process has the store open.
            StoreDamaged: It is not as it was written.
            StoreTooNew: A later build wrote it.
            StoreFull: There is no room to create it.
            StoreFailed: Any other I/O error.
        """
        return cls(options or EngineOptions(), open_store(os.fspath(directory), fs or OsFileSystem(), rng))

    @staticmethod
    def destroy(directory: str | os.PathLike[str], fs: FileSystem | None = None) -> None:
        """Remove the store in `directory`, so that a new one can be created there.

        The manifest goes last: a crash on the way leaves a store that is refused, and can be destroyed again.

        Raises:
            StoreInUse: A process has it open.
            OSError: A file cannot be removed.
        """
        remove_store(os.fspath(directory), fs or OsFileSystem())

    def close(self) -> None:
        """Close the store. Nothing is written: what was published is durable already.

        `write` must not be running; a piece of reclaim that is running is waited for.
        """
        self.background.close()
        self._writer.close()
        for segment in [*self._segments.values(), *self._end.spares]:
            segment.close()
        self._owner.release()

    def announce(self, endpoint: str) -> None:
        """Write into the lock file the address at which this store is served."""
        directory_lock.write_holder(self._owner, Holder(os.getpid(), endpoint))

    # -- small records and sizes --------------------------------------------------------------------------------

    def record(self, name: bytes) -> bytes | None:
        """Return a small record; None when there is none of that name."""
        return self._meta.get(name)

    def meta(self, prefix: bytes) -> dict[bytes, bytes]:
        """Return the small records whose names start with `prefix`."""
        return {name: value for name, value in self._meta.items() if name.startswith(prefix)}

    @property
    def keys(self) -> int:
        """Return the number of live keys."""
        return len(self._index)

    @property
    def size(self) -> int:
        """Return the bytes of the segments and runs in use, dead records included.

        Of the last segment only the bytes that are written count.
        """
        last = self._segments.get(max(self._segments, default=0))
        prepared = last.size - last.end if last is not None else 0
        runs = sum(run.header.size for run in self._index.runs)
        return sum(part.size for part in self._segments.values()) - prepared + runs

    @property
    def size_in_use(self) -> int:
        """Return the bytes of versions that can still be read, their record headers included."""
        return sum(s.record_bytes - s.dead_bytes - s.grave_bytes - s.unswept_bytes for s in self._segments.values())

    @property
    def record_bytes(self) -> int:
        """Return the bytes of all versions that exist, dead ones included, with their record headers."""
        return sum(segment.record_bytes for segment in self._segments.values())

    def live_bytes(self, start: bytes, limit: int) -> tuple[int, bytes | None]:
        """Return the bytes of the newest versions of the live keys from `start` on, and the key to continue at.

        About `limit` keys are looked at; the key is None at the end.

        Raises:
            StoreDamaged: A block of a run is not sound.
        """
        _keys, entries, following = self._index.page(start, None, limit, live=True)
        addresses = [entry >> SHIFT for entry in entries]
        segments = self._segments
        return sum([segments[at >> OFFSET_BITS].length_at(at & OFFSET_MASK) for at in addresses]), following

    @property
    def stats(self) -> Stats:
        """Return the counters since the store was opened. Each thread has its own; this is the sum."""
        total = Stats()
        writer = self._writer
        for part in (self._manifest.stats, writer.stats, writer.space.made, self.background.stats):
            total.add(part)
        return total

    @property
    def failure(self) -> BrainctlError | None:
        """Return why the store takes no more writes; None while it does."""
        return self._writer.failure

    # -- writing ------------------------------------------------------------------------------------------------

    def encode(self, commit: Commit) -> EncodedBatch:
        """Give a commit its place in the log, after those encoded before it; nothing is written yet.

        Raises:
            StoreFull: The log has ended for want of space.
            StoreFailed: The log has ended with an I/O error.
        """
        return self._writer.encode(commit)

    def encode_steps(self, commit: Commit) -> Steps[EncodedBatch]:
        """Give a commit its place in the log, in steps; nothing else may be encoded before they are done."""
        return self._writer.encode_steps(commit)

    def write(self, prepared: EncodedBatch | list[EncodedBatch]) -> None:
        """Write what was encoded, in that order; durable on return. May run on another thread, one call at a time.

        Errors are final: nothing is written any more until the store is opened again, reads go on. Whether the batches
        of the failed call are found then is not known; everything written before is there.

        Raises:
            StoreFull: There is no space left.
            StoreFailed: Any other I/O error.
        """
        self._writer.write(prepared if isinstance(prepared, list) else [prepared])

    def publish(self, commit: Commit, prepared: EncodedBatch) -> None:
        """Make a commit visible, once `write` has returned; in the order of encoding."""
        if prepared.segment.number not in self._segments:
            self._add(prepared.segment, prepared.header.sequence)
        self._writer.published(commit, prepared.addresses)
        self._index_changes(commit, prepared, commit.changes, prepared.addresses, prepared.parts, commit.before)
        self._show(commit, prepared)

    def publish_steps(self, commit: Commit, prepared: EncodedBatch) -> Steps[None]:
        """Make a commit visible, in steps; readers see the change with the last of them.

        Until then the index runs ahead of the revision, and every read finds its way back. Nothing else may be
        published before they are done.
        """
        if prepared.segment.number not in self._segments:
            self._add(prepared.segment, prepared.header.sequence)
        self._writer.published(commit, prepared.addresses)
        self.view.indexed = commit.revision
        has_before = len(commit.before) == len(commit.changes)
        for at in range(0, len(commit.changes), STEP_KEYS):
            piece = slice(at, at + STEP_KEYS)
            changes, before = commit.changes[piece], commit.before[piece] if has_before else []
            self._index_changes(commit, prepared, changes, prepared.addresses[piece], prepared.parts[piece], before)
            self._index.delta.sort()
            yield 2 * len(changes)
        self._show(commit, prepared)

    def _show(self, commit: Commit, prepared: EncodedBatch) -> None:
        """Finish the publication of a commit whose changes are in the index, and let readers see it."""
        segment, header = prepared.segment, prepared.header
        segment.mark(header.first, prepared.offset)
        segment.end = prepared.offset + header.span
        segment.sequences = (segment.sequences[0], header.sequence)
        segment.record_bytes += prepared.version_bytes
        for name, value in commit.meta.items():
            if value is None:
                self._meta.pop(name, None)
            else:
                self._meta[name] = value
        view, background = self.view, self.background
        view.revision = view.indexed = commit.revision
        view.compacted = header.compacted
        background.new_records += len(commit.changes) + BATCH_RECORDS
        background.new_bytes += header.span

    @property
    def next_segment_due(self) -> bool:
        """Return whether the log will soon need another segment, so that `allocate_next_segment` is to be called."""
        return self._writer.next_segment_due

    def allocate_next_segment(self) -> Work:
        """Return work, for any thread, that makes the next segment of the log, so that no write has to wait for it."""
        return self._writer.allocate_next_segment()

    @property
    def unconfirmed(self) -> bool:
        """Return whether damage of the last write could be mistaken for an unfinished write; `confirm` ends that.

        That is so in a file that was another segment before, until something else was written.
        """
        last = self._segments.get(max(self._segments, default=0))
        return last is not None and last.stale and last.sequences[1] != self._confirmed

    def confirm(self) -> tuple[Commit, EncodedBatch]:
        """Encode an empty commit, and return it to be written and published: it says that all before it was durable."""
        commit = Commit(self.view.revision)
        prepared = self.encode(commit)
        self._confirmed = prepared.header.sequence
        return commit, prepared

    def _write_empty(self) -> None:
        """Begin a new segment, when nobody else does, with an empty commit."""
        if self._writer.idle:
            commit = Commit(self.view.revision)
            prepared = self.encode(commit)
            self.write(prepared)
            self.publish(commit, prepared)

    def _add(self, segment: Segment, sequence: int) -> None:
        """Add the segment in which the log goes on; nothing is written to the one before it any more."""
        if self._segments:
            self._segments[max(self._segments)].close()
        segment.sequences = (sequence, sequence)
        self._segments[segment.number] = segment
        self.view.maps[segment.number] = segment.mapped

    def _index_changes(
        self,
        commit: Commit,
        prepared: EncodedBatch,
        changes: list[KeyVersion],
        addresses: list[int],
        parts: list[bytes],
        befores: list[KeyVersion | None],
    ) -> None:
        """Put some changes of a commit into the index and the caches; the lists go together, place by place."""
        view = self.view
        if view.range_cache:
            for change in changes:
                view.range_cache.change(change.key, change.kv if change.version else None)
        keys = [change.key for change in changes]
        revisions = [change.mod_revision for change in changes]
        if prepared.fresh:
            self._index.add_all(keys, addresses)
            view.recent.add_all(addresses, parts[: len(addresses)])
            view.undo.add(revisions, keys, bytes(len(keys)))  # zeros: there was no version before
            return
        put, delete, remember = self._index.put, self._index.delete, view.recent.add
        garbage = self._garbage
        imported = commit.revision if commit.imported else 0
        # `before` is a list beside `changes`, so that a put makes no pair of the two; without it sizes are looked up
        # later. The changes of a migration replace what no revision of the history has, and give none.
        known = befores if len(befores) == len(changes) and not imported else repeat(None)
        ended: list[int] = []
        # Not strict: `known` may go on for ever, and `parts` has small records behind those of the changes. Unpacking a
        # change takes 0.09 us, naming five of its fields 0.14: this is done for each key that is written.
        for change, before, address, part in zip(changes, known, addresses, parts, strict=False):
            key, _create, mod, version, lease, kv, _sub = change
            if version:
                old = put(key, address, lease != 0)
                if lease:
                    prepared.segment.leased_bytes += record.OVERHEAD + len(kv)
                remember(address, part)
                ended.append(old)
            else:
                old = delete(key, address)
                garbage.bury(mod, address, size_of(record.OVERHEAD + len(kv), leased=False))
                ended.append(-old)
            if old:
                size = size_of(record.OVERHEAD + len(before.kv), leased=before.lease != 0) if before else 0
                garbage.supersede(imported or mod, old, size)
        if imported:  # a migration replaces versions at no revision of the history, so there is no way back past it
            view.undo = UndoLog(imported)
        else:
            view.undo.add(revisions, keys, ended)
