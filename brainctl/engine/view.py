"""The durable state of a store, read from its index and its segments: the View of the rules."""

from collections.abc import Iterator
from itertools import islice
from mmap import mmap
from struct import Struct

from crc32c import crc32c

from brainctl.engine.entry import DELETED, SHIFT
from brainctl.engine.index import KeyIndex
from brainctl.engine.pages import Pages
from brainctl.engine.recent import RecentRecords
from brainctl.engine.record import HEADER, HEADER_SIZE, PLACE, RESIDUE, TOMBSTONE, version_of
from brainctl.engine.segment import OFFSET_BITS, OFFSET_MASK, Segment
from brainctl.engine.undo import UndoLog
from brainctl.errors import StoreDamaged
from brainctl.mvcc.framed import framed
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.view import Revision, Selection

_VERSION = Struct("<8xQQQq8xI")
"""What a KeyVersion has of HEADER."""
_MOD_AND_KIND = Struct("<8xQ40xB")
_PAGE = 512
"""Keys that an iterator looks up at a time."""


class EngineView:
    """Implements mvcc.view.View. Every byte that it serves was checked against its CRC-32C; StoreDamaged.

    Iterators read at the revision that was current when they were asked for, and hold good until a compaction
    passes it.
    """

    def __init__(
        self, index: KeyIndex, segments: dict[int, Segment], revision: int, compacted: int, cache_bytes: int
    ) -> None:
        self._index = index
        self._recent = RecentRecords(cache_bytes)
        self._pages = Pages(cache_bytes, self._read_range)
        self._segments = segments
        self._maps: dict[int, mmap] = {s.number: s.mapped for s in segments.values() if s.extents is None}
        """Segments in which addresses are offsets."""
        self._revision = revision
        self._compacted = compacted
        self._undo = UndoLog(revision)

    @property
    def revision(self) -> int:
        """As in View."""
        return self._revision

    @property
    def compacted(self) -> int:
        """As in View; 0 before the first compaction."""
        return self._compacted

    def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """As in View."""
        entry = self._index.find(key)
        if not entry:
            return None
        if 0 < revision < self._revision:
            address = self._at(entry >> SHIFT, revision, deleted=bool(entry & DELETED))
            if not address:
                return None
            record = self._record(address)
        elif entry & DELETED:
            return None
        else:
            address = entry >> SHIFT
            record = self._recent.young.get(address) or self._recent.get(address) or self._record(address)
        mod, create, version, lease, sub = _VERSION.unpack_from(record)
        if not version:
            return None
        return tuple.__new__(KeyVersion, (key, create, mod, version, lease, record[HEADER_SIZE:-4], sub))

    def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """As in View."""
        if end == start + b"\0":
            return self._select_one(start, revision)
        if not 0 < revision < self._revision:
            parts, found = self._pages.select(start, end, limit)
            return Selection(parts, self._index.count(start, end) if 0 < limit <= found else found)
        back = self._undo.since(revision, start, end)
        if back is not None:
            changed, gained = back
            return Selection(framed(self._undone(start, end, limit, changed)), self._index.count(start, end) - gained)
        addresses = list(islice(self._live_at(start, end, revision), limit or None))
        total = len(addresses) if not limit or len(addresses) < limit else self.count(start, end, revision)
        return Selection(framed(self._kvs(addresses)), total)

    def _undone(self, start: bytes, end: bytes | None, limit: int, changed: dict[bytes, int]) -> list[bytes]:
        """The KeyValues of the first live keys of a range, as before some keys changed."""
        wanted = limit
        while True:
            keys, kvs = self._pages.rows(start, end, wanted)
            last = keys[-1] if 0 < wanted <= len(keys) else None
            here = changed if last is None else {key: at for key, at in changed.items() if key <= last}
            if here:
                found = dict(zip(keys, kvs, strict=True))
                live = [key for key, address in here.items() if address]
                for key in here.keys() - live:
                    found.pop(key, None)
                found.update(zip(live, self._kvs([here[key] for key in live]), strict=True))
                kvs = [found[key] for key in sorted(found)]
            if last is None or len(kvs) >= limit:
                return kvs[: limit or None]
            wanted += wanted + limit  # too many of them are new

    def newest(self, key: bytes) -> bytes | None:
        """The marshalled KeyValue of a key as it is now; None when it is not live."""
        entry = self._index.find(key)
        if not entry or entry & DELETED:
            return None
        return (self._recent.get(entry >> SHIFT) or self._record(entry >> SHIFT))[HEADER_SIZE:-4]

    def _select_one(self, key: bytes, revision: int) -> Selection:
        if not 0 < revision < self._revision:
            kv = self.newest(key)
        else:
            found = self.get(key, revision)
            kv = None if found is None else found.kv
        return Selection([], 0) if kv is None else Selection(framed([kv]), 1)

    def _read_range(self, start: bytes, end: bytes | None, limit: int) -> tuple[list[bytes], list[bytes]]:
        keys, addresses = self._index.live(start, end, limit)
        return keys, self._kvs(addresses)

    def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """As in View.

        At the newest revision it takes the time of two bisections. At an older one it takes that of reading the range,
        or of reading what has changed since, whichever promises to be less.
        """
        now = self._index.count(start, end)
        if not 0 < revision < self._revision:
            return now
        back = self._undo.since(revision, start, end)
        if back is not None:
            return now - back[1]
        if self._revision - revision < now // 2:
            return now - self._gained(start, end, revision)
        return sum(1 for _address in self._live_at(start, end, revision))

    def _gained(self, start: bytes, end: bytes | None, revision: int) -> int:
        """How many more keys of a range are live now than were at `revision`."""
        gained = 0
        for later in self.history(revision + 1, self._revision):
            for change in later.changes:
                if change.version <= 1 and start <= change.key and (end is None or change.key < end):
                    gained += 1 if change.version else -1
        return gained

    def versions(self, start: bytes, end: bytes | None, revision: int) -> Iterator[KeyVersion]:
        """As in View."""
        at = revision if 0 < revision < self._revision else self._revision
        for address in self._live_at(start, end, at):
            yield version_of(self._record(address))

    def leased(self) -> Iterator[KeyVersion]:
        """As in KnowsLeased: found without reading other keys than those that ever had a lease."""
        for key in self._index.leased():
            found = self.get(key)
            if found is not None:
                yield found

    def history(self, first: int, last: int) -> Iterator[Revision]:
        """As in View. Revisions below the compacted one come without what the compaction made dead."""
        main = 0
        changes: list[KeyVersion] = []
        for segment in self._segments_from(first):
            for _address, record in segment.records(segment.seek(first)):
                mod, kind = _MOD_AND_KIND.unpack_from(record)
                if kind > TOMBSTONE or mod < first:
                    continue
                if mod != main:
                    if changes:
                        yield Revision(main, changes)
                    main, changes = mod, []
                    if mod > last:
                        return
                changes.append(version_of(record))
        if changes:
            yield Revision(main, changes)

    # -- by address ---------------------------------------------------------------------------------------------

    def _record(self, address: int) -> bytes:
        """The checked bytes of a record that must be there."""
        number, at = address >> OFFSET_BITS, address & OFFSET_MASK
        data = self._maps.get(number)
        if data is not None:
            length, known = PLACE.unpack_from(data, at)
            record = data[at : at + length]
            if known == at and crc32c(record) == RESIDUE:
                return record
        segment = self._segments.get(number)
        if segment is None:
            raise StoreDamaged(f"segment {number} is gone, but a record at its offset {at} is in use")
        return segment.record(at)

    def _kvs(self, addresses: list[int]) -> list[bytes]:
        """The KeyValues of live versions: those that are known, else from their records, checked."""
        known = list(map(self._recent.young.get, addresses))
        unknown = [address for address, record in zip(addresses, known, strict=True) if record is None]
        read = iter(self._records(unknown))
        return [(record or next(read))[HEADER_SIZE:-4] for record in known]

    def _records(self, addresses: list[int]) -> list[bytes]:
        """The checked bytes of many records that must be there."""
        try:
            maps = [self._maps[address >> OFFSET_BITS] for address in addresses]
        except KeyError:
            return list(map(self._record, addresses))
        offsets = [address & OFFSET_MASK for address in addresses]
        places = list(map(PLACE.unpack_from, maps, offsets))
        records = [data[at : at + place[0]] for data, at, place in zip(maps, offsets, places, strict=True)]
        if [place[1] for place in places] == offsets and set(map(crc32c, records)) <= {RESIDUE}:
            return records
        return list(map(self._record, addresses))

    def _at(self, address: int, revision: int, *, deleted: bool) -> int:
        """The version of a key that was live at `revision`, from its newest one, which may be `deleted`; 0 when there
        was none.
        """
        if deleted and not self._held(address):
            return 0
        while address:
            record = self._record(address)
            _n, _at, mod, _create, version, _lease, previous, _sub, _length, _kind = HEADER.unpack_from(record)
            if mod <= revision:
                return address if version else 0
            if version == 1 and not self._held(previous):
                return 0
            address = previous
        return 0

    def _held(self, address: int) -> bool:
        """Whether a tombstone is still there. One that is not was compacted: its key was deleted by then."""
        segment = self._segments.get(address >> OFFSET_BITS)
        return segment is not None and segment.has(address & OFFSET_MASK)

    def _live_at(self, start: bytes, end: bytes | None, revision: int) -> Iterator[int]:
        """Addresses of the live versions of a range at `revision`, in key order."""
        while True:
            if revision >= self._revision:
                keys, addresses = self._index.live(start, end, _PAGE)
                yield from addresses
            else:
                keys, entries = self._index.all(start, end, _PAGE)
                for entry in entries:
                    found = self._at(entry >> SHIFT, revision, deleted=bool(entry & DELETED))
                    if found:
                        yield found
            if len(keys) < _PAGE:
                return
            start = keys[-1] + b"\0"

    def _segments_from(self, revision: int) -> list[Segment]:
        """The segments in which `revision` and what came after it lie, oldest first."""
        numbers = sorted(self._segments, reverse=True)
        wanted: list[Segment] = []
        for number in numbers:
            segment = self._segments[number]
            wanted.append(segment)
            if 0 < segment.first_revision() < revision:
                break
        return wanted[::-1]
