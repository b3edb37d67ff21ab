"""Read the state of a store at one moment from TiKV.

The newest state is section k alone. A read at an older revision takes the candidates of its range from sections k and
d, and steps from each that is too new to the version before, until one is old enough: through the blocks of the log,
or, where that version is at or below the compacted revision, through section b.

While a large commit is written ahead of the head (`ahead`), the sections hold versions beyond the head: the newest
state is then read as an older one is.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.range_response_kvs import framed
from brainctl.mvcc.steps import STEP_KEYS
from brainctl.mvcc.view import Revision, Selection
from brainctl.tikv.blocks import Blocks
from brainctl.tikv.client import Reader
from brainctl.tikv.counts import BLOCK_KEYS, LARGEST_BLOCK, TOP, Counts, Known, within
from brainctl.tikv.errors import ClusterDamaged
from brainctl.tikv.key_codec import Layout, position
from brainctl.tikv.value_codec import Head, Stored

BLOCK_PAGE = 16
"""Blocks of the log asked for at a time; most are small, and only those of large values are above 64 KiB."""
REWINDABLE = 10_000
"""Revisions back to which a count is corrected from the log instead of reading every version of its range."""


class StateView:
    """An `AsyncView` of one snapshot or transaction.

    Reads raise TikvFailed when TiKV does not answer, and StoreDamaged when a value is not what the format says.
    """

    remote: Literal[True] = True

    def __init__(
        self,
        layout: Layout,
        reader: Reader,
        head: Head,
        blocks: Blocks,
        loaded: dict[bytes, bytes | None] | None = None,
        counts: Counts | None = None,
    ) -> None:
        """Create a view of the state that `reader` reads.

        Args:
            layout: the keys of the store.
            reader: a snapshot, or a transaction.
            head: the head as `reader` has read it.
            blocks: a cache of the log.
            loaded: TiKV keys already read at the same moment, None for those that do not exist.
            counts: counts of the store that are used and added to.
        """
        self.layout = layout
        self.reader = reader
        self.head = head
        self.time_ms = 0
        """The time of the state on the cluster's clock in milliseconds; 0 when it was not read."""
        self._blocks = blocks
        self._loaded = loaded or {}
        self._counts = None if head.ahead else counts

    @property
    def revision(self) -> int:
        """See `View`."""
        return self.head.revision

    @property
    def compacted(self) -> int:
        """See `View`."""
        return self.head.compacted

    # -- the newest state, tombstones and all ---------------------------------------------------------------------

    async def newest(self, keys: Sequence[bytes]) -> dict[bytes, Stored]:
        """Return the newest version of each key, live or a tombstone; keys without one are left out."""
        layout = self.layout
        values = await self.reader.get([place for key in keys for place in (layout.live(key), layout.dead(key))])
        found = {}
        for key in keys:
            value = values.get(layout.live(key)) or values.get(layout.dead(key))
            if value is not None:
                found[key] = Stored.unpack(value)
        return await self._settled(found)

    async def _settled(self, found: dict[bytes, Stored]) -> dict[bytes, Stored]:
        """Replace versions beyond the head by those before them."""
        todo = [(key, stored) for key, stored in found.items() if stored.mod > self.revision]
        while todo:
            steps = await self.before([stored for _, stored in todo])
            for (key, _), before in zip(todo, steps, strict=True):
                if before is None:
                    del found[key]
                else:
                    found[key] = before
            todo = [(key, found[key]) for key, _ in todo if key in found and found[key].mod > self.revision]
        return found

    async def _section(
        self, section: bytes, start: bytes, end: bytes | None, limit: int = 0
    ) -> AsyncIterator[list[tuple[bytes, Stored]]]:
        skip = len(section)
        async for page in self.reader.scan(*self.layout.bounds(section, start, end), limit):
            yield [(key[skip:], Stored.unpack(value)) for key, value in page]

    def _past(self, revision: int) -> int:
        """Return the revision to step back to, 0 where the index as it is has the answer."""
        if 0 < revision < self.revision:
            return revision
        return self.revision if self.head.ahead else 0

    # -- AsyncView ------------------------------------------------------------------------------------------------

    async def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """See `View`."""
        place = self.layout.live(key)
        if not self._past(revision):
            value = self._loaded[place] if place in self._loaded else (await self.reader.get([place])).get(place)
            return None if value is None else Stored.unpack(value).version()
        found = await self.newest([key])
        old = await self._at(found, self._past(revision))
        return old[key].version() if key in old else None

    async def loaded(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the newest marshalled KeyValue, None where there is none, of keys that this view was loaded with."""
        if self.head.ahead:
            versions = [await self.get(key) for key in keys]
            return [None if version is None else version.kv for version in versions]
        values = [self._loaded[self.layout.live(key)] for key in keys]
        return [None if value is None else Stored.kv_of(value) for value in values]

    async def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """See `View`."""
        if end == start + b"\0":
            version = await self.get(start, revision)
            return Selection([] if version is None else framed([version.kv]), int(version is not None))
        keys: list[bytes] = []
        kvs: list[bytes] = []
        async for names, values in self._kv_pages(start, end, revision, limit + 1 if limit else 0):
            keys += names
            kvs += values
            if limit and len(keys) > limit:
                total = await self.count(start, end, revision)
                if self._counts is not None:
                    following = keys[limit - 1] + b"\0"
                    self._counts.follow(following, end, self._past(revision) or self.revision, total - limit)
                return Selection(framed(kvs[:limit]), total)
        return Selection(framed(kvs), len(kvs))

    async def _kv_pages(
        self, start: bytes, end: bytes | None, revision: int, limit: int
    ) -> AsyncIterator[tuple[list[bytes], list[bytes]]]:
        """Yield the keys and the marshalled KeyValues of a range, as `pages` has them."""
        if self._past(revision):
            async for page in self.pages(start, end, revision, limit):
                yield [key for key, _ in page], [stored.kv for _, stored in page]
            return
        lives, kv_of = self.layout.lives, Stored.kv_of
        skip = len(lives)
        async for pairs in self.reader.scan(*self.layout.bounds(lives, start, end), limit):
            yield [key[skip:] for key, _ in pairs], [kv_of(value) for _, value in pairs]

    async def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """See `View`."""
        if end == start + b"\0":
            return int(await self.get(start, revision) is not None)
        past = self._past(revision)
        counts = self._counts
        if counts is not None:
            following = counts.following(start, end, past or self.revision)
            if following is not None:
                return following
        if not past:
            return await self._count_now(start, end)
        moved = None if counts is None else counts.moved(start, TOP if end is None else end, past, self.revision)
        if moved is not None:
            return await self._count_now(start, end) - moved
        if self.head.ahead or self.revision - past > REWINDABLE:
            return sum([len(page) async for page in self.pages(start, end, revision)])
        return await self._count_now(start, end) + await self._count_since(start, end, past)

    async def _count_now(self, start: bytes, end: bytes | None) -> int:
        """Return the number of live keys of a range at the revision of the state."""
        counts = self._counts
        if counts is None:
            return await self.reader.count(*self.layout.bounds(self.layout.lives, start, end))
        top = TOP if end is None else end
        known = counts.known(start, top, self.revision)
        behind = known.at < self.revision
        if behind and (self.compacted > known.at or self.revision - known.at > REWINDABLE):
            # The commits since then are no longer in the log, or too many to read: load the state anew.
            known = Known(0, self.revision, [], [(start, top)])
        total = known.total
        if known.held and known.at < self.revision:
            async for stored in self.changes(known.at + 1, self.revision):
                version = stored.version()
                if version.version <= 1 and within(version.key, known.held):
                    total += 1 if version.version else -1
        for gap in known.gaps:
            total += await self._count_gap(counts, *gap)
        return total

    async def _count_gap(self, counts: Counts, start: bytes, end: bytes) -> int:
        """Count a range by reading its keys, and remember it in pieces."""
        pieces: list[tuple[bytes, int]] = []
        size = 0
        lives = self.layout.lives
        async for page in self.reader.key_pages(*self.layout.bounds(lives, start, None if end == TOP else end)):
            size += len(page)
            if size >= BLOCK_KEYS:
                pieces.append((page[-1][len(lives) :] + b"\0", size))
                size = 0
        pieces.append((end, size))
        total = sum(count for _, count in pieces)
        if total <= LARGEST_BLOCK // 2:
            pieces = [(end, total)]
        for upto, count in pieces:
            if start < upto:
                counts.learn(start, upto, count, self.revision)
            start = upto
        return total

    async def versions(self, start: bytes, end: bytes | None, revision: int) -> AsyncIterator[KeyVersion]:
        """See `View`."""
        async for page in self.pages(start, end, revision):
            for _, stored in page:
                yield stored.version()

    async def history(self, first: int, last: int) -> AsyncIterator[Revision]:
        """See `View`."""
        revision = Revision(0, [])
        async for stored in self.changes(first, last):
            if stored.mod != revision.main:
                if revision.changes:
                    yield revision
                revision = Revision(stored.mod, [])
            revision.changes.append(stored.version())
        if revision.changes:
            yield revision

    # -- the log --------------------------------------------------------------------------------------------------

    async def changes(self, first: int, last: int) -> AsyncIterator[Stored]:
        """Yield the changes of the revisions `first` to `last`, in order, each with the position of its predecessor."""
        async for _, block in self.blocks(first):
            for stored in block:
                if stored.mod > last:
                    return
                if stored.mod >= first:
                    yield stored

    async def blocks(self, first: int) -> AsyncIterator[tuple[bytes, list[Stored]]]:
        """Yield the blocks of the log that hold revision `first` and later ones, with their positions."""
        log = self.layout.log
        changes = 0
        # Blocks beyond the head belong to a large revision that may be undone: they are not cached.
        ends = log + position(self.revision + 1, 0)
        async for page in self.reader.scan(log + position(first, 0), ends, largest=BLOCK_PAGE):
            for key, value in page:
                place = key[len(log) :]
                block = self._blocks.add(place, value)
                yield place, block
                changes += len(block)
                if changes > STEP_KEYS:
                    await asyncio.sleep(0)  # a page has many blocks, and whoever reads them works on each change
                    changes = 0

    async def before(self, changes: Sequence[Stored]) -> list[Stored | None]:
        """Return the version before each change, tombstone or not; None where there is none or it is not kept."""
        steps = [
            (change.before, change.before_block, change.version().key) if change.before else None for change in changes
        ]
        old = [step for step in steps if step is not None and step[0] <= self.compacted]
        layout = self.layout
        bases = await self.reader.get([layout.base(key) for _, _, key in old]) if old else {}
        found: dict[tuple[int, bytes], Stored] = {}
        for mod, _, key in old:
            value = bases.get(layout.base(key))
            if value is not None and (stored := Stored.unpack(value)).mod == mod:
                found[mod, key] = stored
        rest = [step for step in steps if step is not None and (step[0], step[2]) not in found]
        blocks = await self._blocks.load(self.reader, (place for _, place, _ in rest), self.revision)
        mods = {mod for mod, _, _ in rest}
        for block in blocks.values():
            found |= {(stored.mod, stored.version().key): stored for stored in block if stored.mod in mods}
        return [None if step is None else found.get((step[0], step[2])) for step in steps]

    # -- older revisions ------------------------------------------------------------------------------------------

    async def pages(
        self, start: bytes, end: bytes | None, revision: int, limit: int = 0
    ) -> AsyncIterator[list[tuple[bytes, Stored]]]:
        """Yield the live versions of a range at `revision` in key order, as they are stored, by their keys.

        `limit` is a hint that more will not be used; 0 for all.
        """
        lives = self.layout.lives
        revision = self._past(revision)
        if not revision:
            async for page in self._section(lives, start, end, limit):
                yield page
            return
        async for page in self._section(lives, start, end):
            bound = page[-1][0] + b"\0"
            candidates = dict(page)
            async for deads in self._section(self.layout.deads, start, bound):
                candidates.update(deads)
            start = bound
            yield sorted((await self._at(candidates, revision)).items())
        async for page in self._section(self.layout.deads, start, end):
            yield sorted((await self._at(dict(page), revision)).items())

    async def _at(self, newest: dict[bytes, Stored], revision: int) -> dict[bytes, Stored]:
        """Return the versions that were live at `revision`, of keys whose newest versions are given.

        Raises:
            StoreDamaged: a version that is not compacted is not in TiKV.
        """
        live = {key: stored for key, stored in newest.items() if stored.mod <= revision and stored.live}
        todo = [stored for stored in newest.values() if stored.mod > revision]
        while todo:
            steps = await self.before(todo)
            for newer, stored in zip(todo, steps, strict=True):
                if stored is None and newer.before and newer.replaced_live:
                    raise ClusterDamaged(f"revision {newer.before} of a key is not in TiKV, though it is not compacted")
                if stored is not None and stored.mod <= revision and stored.live:
                    live[stored.version().key] = stored
            todo = [stored for stored in steps if stored is not None and stored.mod > revision]
        return live

    async def _count_since(self, start: bytes, end: bytes | None, revision: int) -> int:
        """Return by how much the number of live keys of a range at `revision` differs from now."""
        before: dict[bytes, bool] = {}
        after: dict[bytes, bool] = {}
        async for stored in self.changes(revision + 1, self.revision):
            version = stored.version()
            key = version.key
            if start <= key and (end is None or key < end):
                # As `Stored.replaced_live`, which would unpack the version once more.
                before.setdefault(key, not stored.live or version.version > 1)
                after[key] = stored.live
        return sum(before.values()) - sum(after.values())
