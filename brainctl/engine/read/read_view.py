"""The durable state of a store, read from its index and its segments: the `View` that the rules read."""

from collections import Counter
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import Literal

from crc32c import crc32c

from brainctl.engine.format.index_entry import DELETED, SHIFT
from brainctl.engine.format.record import (
    HEADER_SIZE,
    RESIDUE,
    TOMBSTONE,
    read_ancestry,
    read_place,
    read_revision_and_kind,
    read_version,
    version_of,
)
from brainctl.engine.index.key_index import KeyIndex
from brainctl.engine.log.segment import OFFSET_BITS, OFFSET_MASK, Segment
from brainctl.engine.read.range_cache import Piece, RangeCache
from brainctl.engine.read.record_cache import RecentRecords
from brainctl.engine.read.undo_log import UndoLog, WayBack
from brainctl.errors import StoreDamaged
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.steps import STEP_BYTES, STEP_KEYS, Steps, finish, in_pieces
from brainctl.mvcc.view import Revision, Selection

_FEW = 32
"""Records that are read at a time."""


class ReadView:
    """Implements mvcc.view.View.

    Every byte that it serves was checked against its CRC-32C; StoreDamaged is raised instead of serving others.
    Iterators read at the revision that was current when they were requested, and stay valid until a compaction passes
    it.
    """

    remote: Literal[False] = False

    def __init__(
        self, index: KeyIndex, segments: dict[int, Segment], revision: int, compacted: int, cache_bytes: int
    ) -> None:
        """Create the view of a store, without anything in its caches.

        Args:
            index: The index, which the engine and its background work change.
            segments: The segments by number, which they exchange.
            revision: The newest revision.
            compacted: The compacted revision, 0 before the first compaction.
            cache_bytes: The memory of each cache, in bytes.
        """
        self._index = index
        self._segments = segments
        self.recent = RecentRecords(cache_bytes)
        """Records of live versions; the engine adds what it publishes."""
        self.range_cache = RangeCache(cache_bytes, self._read_range)
        """Ranges that were listed; the engine changes them with each change of a key."""
        self.undo = UndoLog(revision)
        """Versions that the last changes replaced; the engine adds to it."""
        self.maps: dict[int, mmap] = {s.number: s.mapped for s in segments.values() if s.extents is None}
        """Segments in which addresses are offsets: their records are found without asking the segment."""
        # Plain attributes, which only the engine sets: as properties they would cost each point read two calls.
        self.revision = revision
        """See `View.revision`."""
        self.compacted = compacted
        """See `View.compacted`; 0 before the first compaction."""
        self.indexed = revision
        """The revision of the index: more than the store's while a large commit is published step by step.

        Reads at a lower revision than this are reads of the past.
        """
        self._holds: Counter[int] = Counter()
        """Compacted revisions at which somebody still reads what has been compacted since, and how many do."""

    def hold(self) -> Callable[[], None]:
        """Keep all that can be read now, whatever is compacted, until the function that is returned is called."""
        held = self.compacted
        self._holds[held] += 1

        def release() -> None:
            self._holds[held] -= 1
            if not self._holds[held]:
                del self._holds[held]

        return release

    def removable(self) -> int:
        """Return the revision up to which what is dead may be removed: the compacted one, or a lower one in use."""
        return min(self._holds, default=self.compacted)

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """See `View.get`."""
        entry = self._index.find(key)
        if not entry:
            return None
        at = revision if 0 < revision < self.revision else self.revision
        if at < self.indexed:
            address = self._at(entry >> SHIFT, at, deleted=bool(entry & DELETED))
            if not address:
                return None
            record = self._record(address)
        elif entry & DELETED:
            return None
        else:
            address = entry >> SHIFT
            record = self.recent.young.get(address) or self.recent.get(address) or self._record(address)
        mod, create, version, lease, sub = read_version(record)
        if not version:
            return None
        # tuple.__new__ skips KeyVersion's own __new__, a Python function: 0.19 us instead of 0.37.
        return tuple.__new__(KeyVersion, (key, create, mod, version, lease, record[HEADER_SIZE:-4], sub))

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """See `View.select`."""
        return finish(self.select_steps(start, end, revision, limit))

    def select_steps(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Steps[Selection]:
        """See `Ranges.select_steps`."""
        if end == start + b"\0":
            return self._select_one(start, revision)
        at = self._moment(revision)
        back = self.undo.since(at, start, end)
        total = -1 if back is None else self._index.count(start, end) - back.gained
        parts: list[bytes] = []
        found = 0
        number = self.range_cache.begin()
        place: bytes | None = start
        while place is not None:
            piece = self._piece(number, place, end, at, limit - found if limit else 0, back)
            back = None
            if parts or piece.following is not None:  # of many pieces each is joined now: one join of all takes long
                parts.append(b"".join(piece.kvs))
            else:
                parts = piece.kvs
            found += piece.live
            place = piece.following
            if limit and found >= limit:
                break
            if place is not None:
                yield piece.cost
        else:
            total = found
        if total < 0:
            total = yield from self.count_steps(start, end, at)
        return Selection(parts, total)

    def _moment(self, revision: int) -> int:
        """Return the revision to read at: `revision`, or the newest one for 0 and what is above it."""
        return revision if 0 < revision < self.revision else self.revision

    def _piece(self, number: int, start: bytes, end: bytes | None, at: int, limit: int, back: WayBack | None) -> Piece:
        """Return the beginning of a range at a revision, as parts of an answer.

        Args:
            number: The list that asks, from `RangeCache.begin`.
            start: The first key.
            end: The range has the keys below it; None has no bound.
            at: The revision.
            limit: The most keys, 0 for all.
            back: The way back to `at` for the whole range, if it is known.
        """
        if at >= self.indexed:
            return self.range_cache.parts(number, start, end, limit)
        piece = self._undone(number, start, end, limit, at, back)
        if piece is not None:
            return piece
        addresses, following = self._live_at(start, end, at)
        kvs: list[bytes] = []
        for some in self._few(addresses, self._kvs):
            kvs += some
            if len(kvs) < len(addresses) and (len(kvs) >= limit > 0 or sum(map(len, kvs)) > STEP_BYTES):
                following = version_of(self._record(addresses[len(kvs) - 1])).key + b"\0"
                break
        kvs = kvs[: limit or None]
        return Piece([], framed(kvs), len(kvs), following, STEP_KEYS)

    def _undone(
        self, number: int, start: bytes, end: bytes | None, limit: int, at: int, back: WayBack | None
    ) -> Piece | None:
        """Return what `_piece` does, from the newest state and the undo log; None when that begins after `at`."""
        wanted = limit
        while True:
            piece = self.range_cache.rows(number, start, end, wanted)
            keys, kvs, bound = piece.keys, piece.kvs, piece.following
            if bound is None and 0 < wanted <= len(keys):
                bound = keys[-1] + b"\0"
            back = back or self.undo.since(at, start, end if bound is None else bound)
            if back is None:
                return None
            changed = back.then if bound is None else {key: old for key, old in back.then.items() if key < bound}
            if changed:
                found = dict(zip(keys, kvs, strict=True))
                live = [key for key, address in changed.items() if address]
                for key in changed.keys() - live:
                    found.pop(key, None)
                found.update(zip(live, self._kvs([changed[key] for key in live]), strict=True))
                kvs = [found[key] for key in sorted(found)]
            if bound is None or len(kvs) >= limit or piece.following is not None:
                kvs = kvs[: limit or None]
                return Piece([], framed(kvs), len(kvs), bound, piece.cost + len(changed))
            wanted += wanted + limit  # too many keys of the piece did not exist at `at`: read a longer one
            back = None

    def newest(self, key: bytes) -> bytes | None:
        """Return the marshalled KeyValue of a key as it is now; None when it is not live."""
        if self.indexed != self.revision:
            found = self.get(key)
            return None if found is None else found.kv
        entry = self._index.find(key)
        if not entry or entry & DELETED:
            return None
        return (self.recent.get(entry >> SHIFT) or self._record(entry >> SHIFT))[HEADER_SIZE:-4]

    def _select_one(self, key: bytes, revision: int) -> Selection:
        if not 0 < revision < self.revision:
            kv = self.newest(key)
        else:
            found = self.get(key, revision)
            kv = None if found is None else found.kv
        return Selection([], 0) if kv is None else Selection(framed([kv]), 1)

    def _read_range(self, start: bytes, end: bytes | None, limit: int) -> tuple[list[bytes], list[bytes], bytes | None]:
        """Read the beginning of a range for the range cache; see `range_cache.Read`."""
        keys, entries, following = self._index.page(start, end, limit, live=True)
        upto = end if following is None else following
        if len(keys) > limit:
            del keys[limit:], entries[limit:]
            upto = keys[-1] + b"\0"
        kvs: list[bytes] = []
        for some in self._few([entry >> SHIFT for entry in entries], self._kvs):
            kvs += some
            if len(kvs) < len(keys) and sum(map(len, kvs)) > STEP_BYTES:
                del keys[len(kvs) :]
                upto = keys[-1] + b"\0"
                break
        return keys, kvs, upto

    @staticmethod
    def _few(addresses: list[int], read: Callable[[list[int]], list[bytes]]) -> Iterator[list[bytes]]:
        """Yield what `read` returns for few addresses at a time: values may be large."""
        return map(read, in_pieces(addresses, _FEW))

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """See `View.count`."""
        return finish(self.count_steps(start, end, revision))

    def count_steps(self, start: bytes, end: bytes | None, revision: int) -> Steps[int]:
        """See `Ranges.count_steps`.

        At the newest revision it takes the time of two bisections. At an older one it takes that of reading the range,
        or of reading what has changed since, whichever promises to be less.
        """
        now = self._index.count(start, end)
        at = self._moment(revision)
        if at >= self.indexed:
            return now
        back = self.undo.since(at, start, end)
        if back is not None:
            return now - back.gained
        if self.indexed == self.revision and self.revision - at < now // 2:
            return now - (yield from self._gained(start, end, at, self.revision))
        total = 0
        place: bytes | None = start
        while place is not None:
            addresses, place = self._live_at(place, end, at)
            total += len(addresses)
            yield STEP_KEYS
        return total

    def _gained(self, start: bytes, end: bytes | None, since: int, until: int) -> Steps[int]:
        """Return, in steps, how many more keys of a range were live at `until` than at `since`."""
        gained = 0
        for later in self.history(since + 1, until):
            for change in later.changes:
                if change.version <= 1 and start <= change.key and (end is None or change.key < end):
                    gained += 1 if change.version else -1
            yield len(later.changes)
        return gained

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        """See `View.versions`."""
        for stretch in self.stretches(start, end, revision):
            yield from stretch

    def stretches(self, start: bytes, end: bytes | None, revision: int) -> Iterator[list[KeyVersion]]:
        """See `Ranges.stretches`."""
        at = self._moment(revision)
        place: bytes | None = start
        while place is not None:
            addresses, place = self._live_at(place, end, at)
            stretch: list[KeyVersion] = []
            size = 0
            for records in self._few(addresses, self._found):
                stretch += map(version_of, records)
                size += sum(map(len, records))
                if size > STEP_BYTES:
                    yield stretch
                    stretch, size = [], 0
            yield stretch

    def rows(self, start: bytes, end: bytes | None, revision: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """See `ReadsRows.rows`."""
        at = self._moment(revision)
        place: bytes | None = start
        while place is not None:
            if at < self.indexed:
                addresses, place = self._live_at(place, end, at)
                versions = [version_of(record) for records in self._few(addresses, self._found) for record in records]
                yield [version.key for version in versions], [version.kv for version in versions]
                continue
            keys, entries, place = self._index.page(place, end, STEP_KEYS, live=True)
            begin, size = 0, 0
            kvs: list[bytes] = []
            for some in self._few([entry >> SHIFT for entry in entries], self._kvs):
                kvs += some
                size += sum(map(len, some))
                if size > STEP_BYTES:
                    yield keys[begin : begin + len(kvs)], kvs
                    begin, size, kvs = begin + len(kvs), 0, []
            yield keys[begin : begin + len(kvs)], kvs

    def leased(self) -> Iterator[KeyVersion]:
        """See `View.leased`; keys that never had a lease are not read."""
        for key in self._index.leased():
            found = self.get(key)
            if found is not None:
                yield found

    def history(self, first: int, last: int) -> Iterator[Revision]:
        """See `View.history`. Revisions below the compacted one come without the versions that are dead."""
        main = 0
        changes: list[KeyVersion] = []
        for piece in self.history_pieces(first, last):
            for change in piece:
                if change.mod_revision != main:
                    if changes:
                        yield Revision(main, changes)
                    main, changes = change.mod_revision, []
                changes.append(change)
        if changes:
            yield Revision(main, changes)

    def history_pieces(self, first: int, last: int) -> Iterator[list[KeyVersion]]:
        """See `View.history_pieces`."""
        piece: list[KeyVersion] = []
        size = 0
        for segment in self._segments_from(first):
            for _address, record in segment.records(segment.seek(first)):
                mod, kind = read_revision_and_kind(record)
                if kind > TOMBSTONE or mod < first:
                    continue
                if mod > last:
                    yield piece
                    return
                piece.append(version_of(record))
                size += len(record)
                if len(piece) >= STEP_KEYS or size > STEP_BYTES:
                    yield piece
                    piece, size = [], 0
        yield piece

    # -- by address ---------------------------------------------------------------------------------------------

    def _record(self, address: int) -> bytes:
        """Return the checked bytes of a record that must be there."""
        number, at = address >> OFFSET_BITS, address & OFFSET_MASK
        data = self.maps.get(number)
        if data is not None:
            length, known = read_place(data, at)
            record = data[at : at + length]
            if known == at and crc32c(record) == RESIDUE:
                return record
        segment = self._segments.get(number)
        if segment is None:
            raise StoreDamaged(f"segment {number} is gone, but a record at its offset {at} is in use")
        return segment.record(at)

    def _kvs(self, addresses: list[int]) -> list[bytes]:
        """Return the KeyValues of live versions."""
        return [record[HEADER_SIZE:-4] for record in self._found(addresses)]

    def _found(self, addresses: list[int]) -> list[bytes]:
        """Return the records of live versions: from the cache, else from the log, checked."""
        known = list(map(self.recent.young.get, addresses))
        unknown = [address for address, record in zip(addresses, known, strict=True) if record is None]
        read = iter(self._records(unknown))
        return [record or next(read) for record in known]

    def _records(self, addresses: list[int]) -> list[bytes]:
        """Return the checked bytes of many records that must be there."""
        try:
            maps = [self.maps[address >> OFFSET_BITS] for address in addresses]
        except KeyError:
            return list(map(self._record, addresses))
        offsets = [address & OFFSET_MASK for address in addresses]
        places = list(map(read_place, maps, offsets))
        records = [data[at : at + length] for data, at, (length, _at) in zip(maps, offsets, places, strict=True)]
        # All in one comparison, whose loop runs in C; only if one of them is wrong they are read one by one.
        if [known for _length, known in places] == offsets and set(map(crc32c, records)) <= {RESIDUE}:
            return records
        return list(map(self._record, addresses))

    def _at(self, address: int, revision: int, *, deleted: bool) -> int:
        """Return the address of the version of a key that was live at `revision`; 0 when there was none.

        Args:
            address: The newest version of the key.
            revision: The revision.
            deleted: Whether the newest version is a tombstone.
        """
        if deleted and not self._held(address):
            return 0
        while address:
            record = self._record(address)
            mod, version, previous = read_ancestry(record)
            if mod <= revision:
                return address if version else 0
            if version == 1 and not self._held(previous):
                return 0
            address = previous
        return 0

    def _held(self, address: int) -> bool:
        """Return whether a tombstone still exists. One that does not was compacted: its key was deleted by then."""
        segment = self._segments.get(address >> OFFSET_BITS)
        return segment is not None and segment.has(address & OFFSET_MASK)

    def _live_at(self, start: bytes, end: bytes | None, at: int) -> tuple[list[int], bytes | None]:
        """Return addresses of the live versions at the beginning of a range, in key order, and where the rest begins.

        Args:
            start: The first key.
            end: The range has the keys below it; None has no bound.
            at: The revision.
        """
        if at >= self.indexed:
            _keys, entries, following = self._index.page(start, end, STEP_KEYS, live=True)
            return [entry >> SHIFT for entry in entries], following
        _keys, entries, following = self._index.page(start, end, STEP_KEYS, live=False)
        found = [self._at(entry >> SHIFT, at, deleted=bool(entry & DELETED)) for entry in entries]
        return list(filter(None, found)), following

    def _segments_from(self, revision: int) -> list[Segment]:
        """Return the segments in which `revision` and what came after it lie, oldest first."""
        numbers = sorted(self._segments, reverse=True)
        wanted: list[Segment] = []
        for number in numbers:
            segment = self._segments[number]
            wanted.append(segment)
            if 0 < segment.first_revision() < revision:
                break
        return wanted[::-1]
