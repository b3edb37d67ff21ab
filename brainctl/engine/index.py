"""Where the newest version of each key lies, and the keys in order.

Keys whose newest version is a tombstone stay until a compaction has passed it: reads at older revisions still find
their way from there. They are kept apart, so that counting live keys is a matter of two positions.
"""

from heapq import merge

from brainctl.engine.sortedkeys import SortedKeys


class KeyIndex:
    """Addresses by key. An address is an int that is never 0 (segment number << 32 | offset)."""

    def __init__(self, newest: dict[bytes, int] | None = None, deleted: set[bytes] | None = None) -> None:
        """Begin with the addresses of the newest versions, of which those in `deleted` are tombstones. Keeps both."""
        self._newest = {} if newest is None else newest
        self._deleted = set() if deleted is None else deleted
        live = [key for key in self._newest if key not in self._deleted] if self._deleted else self._newest
        self._live_order = SortedKeys(sorted(live))
        self._deleted_order = SortedKeys(sorted(self._deleted))
        self.newest = self._newest.get
        """newest(key) -> the address of its newest version, be it a tombstone; None when it has none."""

    def __len__(self) -> int:
        """Live keys."""
        return len(self._newest) - len(self._deleted)

    def put(self, key: bytes, address: int) -> int:
        """Note a new version; the address of the live version that it replaces, 0 when there was none."""
        old = self._newest.get(key, 0)
        self._newest[key] = address
        if not old:
            self._live_order.add(key)
        elif key in self._deleted:
            self._deleted.remove(key)
            self._deleted_order.remove(key)
            self._live_order.add(key)
            return 0
        return old

    def delete(self, key: bytes, address: int) -> int:
        """Note a tombstone; the address of the live version that it ends, 0 when there was none."""
        old = self._newest.get(key, 0)
        self._newest[key] = address
        if key in self._deleted:
            return 0
        if old:
            self._live_order.remove(key)
        self._deleted.add(key)
        self._deleted_order.add(key)
        return old

    def forget(self, key: bytes, address: int) -> None:
        """Drop a key whose tombstone at `address` has been compacted, unless it was written since."""
        if self._newest.get(key) == address:
            del self._newest[key]
            self._deleted.remove(key)
            self._deleted_order.remove(key)

    def count(self, start: bytes, end: bytes | None) -> int:
        """Live keys in `start <= key < end`."""
        return self._live_order.count(start, end)

    def live(self, start: bytes, end: bytes | None, limit: int = 0) -> tuple[list[bytes], list[int]]:
        """The first `limit` (0: all) live keys of a range, in order, and the addresses of their newest versions."""
        keys = self._live_order.slice(start, end, limit)
        return keys, list(map(self._newest.__getitem__, keys))

    def all(self, start: bytes, end: bytes | None, limit: int = 0) -> tuple[list[bytes], list[int]]:
        """As `live`, with the deleted keys that are still known among them."""
        deleted = self._deleted_order.slice(start, end, limit)
        keys = self._live_order.slice(start, end, limit)
        if deleted:
            keys = list(merge(keys, deleted))
            if limit:
                del keys[limit:]
        return keys, list(map(self._newest.__getitem__, keys))
