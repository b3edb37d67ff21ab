"""Which versions a compaction makes dead, and how much of each segment that is.

Versions are noted when they are superseded, in the order of the log, and become dead when a compaction passes the
revision that superseded them. Tombstones become dead when a compaction passes their own revision; a tombstone at
exactly the compacted revision is kept, since a watch from there must still deliver the delete.
"""

from array import array
from collections import deque

from brainctl.engine.index import KeyIndex
from brainctl.engine.segment import OFFSET_BITS, OFFSET_MASK, Segment


class Garbage:
    """Superseded versions and tombstones that await their compaction."""

    def __init__(self) -> None:
        self._revisions = array("q")
        self._addresses = array("Q")
        self._done = 0
        """How many of the superseded versions have been handed to their segments."""
        self._tombstones: deque[tuple[int, int, bytes]] = deque()

    def supersede(self, revision: int, address: int) -> None:
        """The version at `address` was replaced at `revision`; revisions ascend."""
        self._revisions.append(revision)
        self._addresses.append(address)

    def bury(self, revision: int, address: int, key: bytes) -> None:
        """A tombstone of `key` was written at `revision`; revisions ascend."""
        self._tombstones.append((revision, address, key))

    def sweep(self, compacted: int, segments: dict[int, Segment], index: KeyIndex, limit: int) -> bool:
        """Hand up to `limit` versions that have died to their segments; whether there may be more."""
        done = self._done
        last = min(done + limit, len(self._revisions))
        while done < last and self._revisions[done] <= compacted:
            _note_dead(segments, self._addresses[done])
            done += 1
        more = done == last and done < len(self._revisions)
        self._done = done
        if done > 1 << 16 and done * 2 > len(self._revisions):
            del self._revisions[:done], self._addresses[:done]
            self._done = 0
        tombstones = self._tombstones
        while tombstones and tombstones[0][0] < compacted:
            if limit <= 0:
                return True
            limit -= 1
            _revision, address, key = tombstones.popleft()
            index.forget(key, address)
            _note_grave(segments, address)
        return more


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
