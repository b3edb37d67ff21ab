"""Which versions a compaction makes dead, and how much of each segment that is.

Versions are noted when they are superseded, in the order of the log, and become dead when a compaction passes the
revision that superseded them. Tombstones become dead when a compaction passes their own revision; a tombstone at
exactly the compacted revision is kept, since a watch from there must still deliver the delete.
"""

from collections.abc import Sequence

from brainctl.engine.covered import Superseded
from brainctl.engine.run import Run
from brainctl.engine.segment import OFFSET_BITS, OFFSET_MASK, Segment


class Garbage:
    """Superseded versions and tombstones that await their compaction."""

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        """Begin with what `runs`, newest first, have noted; it is read when it is first needed."""
        self._unread = list(runs)
        self._noted = Superseded()
        self._dead = self._buried = 0
        """How many of either have been handed to their segments."""
        self._dead_kept = self._buried_kept = 0
        """How many of either are in runs."""

    def supersede(self, revision: int, address: int) -> None:
        """The version at `address` was replaced at `revision`; revisions ascend."""
        self._noted.revisions.append(revision)
        self._noted.addresses.append(address)

    def bury(self, revision: int, address: int) -> None:
        """A tombstone was written at `revision`; revisions ascend."""
        self._noted.grave_revisions.append(revision)
        self._noted.graves.append(address)

    def cut(self) -> Superseded:
        """What was noted since the last time, for a run to keep."""
        noted, dead, buried = self._noted, self._dead_kept, self._buried_kept
        self._dead_kept, self._buried_kept = len(noted.addresses), len(noted.graves)
        return Superseded(
            noted.revisions[dead:], noted.addresses[dead:], noted.grave_revisions[buried:], noted.graves[buried:]
        )

    def sweep(self, compacted: int, segments: dict[int, Segment], limit: int) -> bool:
        """Hand up to `limit` versions that have died to their segments; whether there may be more. StoreDamaged."""
        if self._unread:
            self._read(segments)
        noted, done = self._noted, self._dead
        last = min(done + limit, len(noted.revisions))
        while done < last and noted.revisions[done] <= compacted:
            _note_dead(segments, noted.addresses[done])
            done += 1
        more = done == last and done < len(noted.revisions)
        self._dead = done
        done = self._buried
        last = min(done + limit, len(noted.graves))
        while done < last and noted.grave_revisions[done] < compacted:
            _note_grave(segments, noted.graves[done])
            done += 1
        more = more or (done == last and done < len(noted.graves))
        self._buried = done
        self._forget()
        return more

    def _read(self, segments: dict[int, Segment]) -> None:
        older = Superseded()
        for run in reversed(self._unread):
            older.extend(run.superseded())
        self._unread = []
        self._dead_kept += len(older.addresses)
        self._buried_kept += len(older.graves)
        older.extend(self._noted)
        self._noted = older
        for segment in segments.values():
            segment.unswept_bytes = 0

    def _forget(self) -> None:
        """Drop what was handed over and is in runs."""
        noted = self._noted
        dead, buried = min(self._dead, self._dead_kept), min(self._buried, self._buried_kept)
        if dead > 1 << 16 and dead * 2 > len(noted.addresses):
            del noted.revisions[:dead], noted.addresses[:dead]
            self._dead, self._dead_kept = self._dead - dead, self._dead_kept - dead
        if buried > 1 << 16 and buried * 2 > len(noted.graves):
            del noted.grave_revisions[:buried], noted.graves[:buried]
            self._buried, self._buried_kept = self._buried - buried, self._buried_kept - buried


def _note_dead(segments: dict[int, Segment], address: int) -> None:
    segment = segments.get(address >> OFFSET_BITS)
    offset = address & OFFSET_MASK
    if segment is not None and segment.has(offset):
        segment.dead.append(offset)
        segment.dead_bytes += segment.length_at(offset)


def _note_grave(segments: dict[int, Segment], address: int) -> None:
    segment = segments.get(address >> OFFSET_BITS)
    offset = address & OFFSET_MASK
    if segment is not None and segment.has(offset):
        segment.graves.append(offset)
        segment.grave_bytes += segment.length_at(offset)
