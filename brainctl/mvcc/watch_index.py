"""Finds the watchers that a change concerns: a dictionary for single keys, and a map of cells for ranges.

Watchers of the same range with the same options form one audience, for which events are selected and joined once.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from brainctl.mvcc.keyversion import KeyVersion

_Item = TypeVar("_Item")


class Subscription(NamedTuple):
    """Interest of a watcher: a range of keys, and options."""

    start: bytes
    end: bytes | None
    r"""The range has the keys below this one; None has no bound. A single key is `(key, key + b"\0")`."""
    prev_kv: bool = False
    no_put: bool = False
    no_delete: bool = False

    def matches(self, change: KeyVersion) -> bool:
        """Return whether a change of a key in the range passes the filters."""
        return not (self.no_put if change.version else self.no_delete)

    def wants_before(self, change: KeyVersion) -> bool:
        """Return whether the event of a change carries the version before it."""
        return self.prev_kv and change.version != 1


class Member(Protocol):
    """A watcher, as far as the index knows it."""

    @property
    def interest(self) -> Subscription:
        """Return what the watcher wants to see; this never changes."""


_Watcher = TypeVar("_Watcher", bound=Member)


@dataclass(slots=True, eq=False)
class WatcherGroup(Generic[_Watcher]):
    """An audience: watchers with the same interest, in the order in which they came."""

    interest: Subscription
    members: dict[_Watcher, None] = field(default_factory=dict)


class Cells(Generic[_Item]):
    """Ranges that may overlap, with a lookup of those that hold a key.

    The bounds of all ranges cut the key space into cells; each cell lists the ranges that cover it. With [b, d) for
    item 1 and [c, e) for item 2 the cells begin at "", b, c, d, e and hold (), (1), (1, 2), (2), (). A lookup is one
    bisection. Adding or removing a range costs the number of cells that it spans: one for a prefix that shares no keys
    with other ranges.
    """

    def __init__(self) -> None:
        self._starts = [b""]
        self._cells: list[tuple[_Item, ...]] = [()]

    def __len__(self) -> int:
        return len(self._cells)

    def at(self, key: bytes) -> tuple[_Item, ...]:
        """Return the items whose ranges hold `key`."""
        return self._cells[bisect_right(self._starts, key) - 1]

    def add(self, start: bytes, end: bytes | None, item: _Item) -> None:
        """Cover `start <= key < end` with an item."""
        first = self._cut(start)
        last = len(self._cells) if end is None else self._cut(end)
        for index in range(first, last):
            self._cells[index] += (item,)

    def remove(self, start: bytes, end: bytes | None, item: _Item) -> None:
        """Remove a range that was added with this item."""
        first = bisect_left(self._starts, start)
        last = len(self._cells) if end is None else bisect_left(self._starts, end)
        for index in range(first, last):
            self._cells[index] = tuple(other for other in self._cells[index] if other is not item)
        # Only the cells at both ends of the range can have become equal to their neighbours.
        self._merge(last)
        self._merge(first)

    def _cut(self, key: bytes) -> int:
        index = bisect_left(self._starts, key)
        if index == len(self._starts) or self._starts[index] != key:
            self._starts.insert(index, key)
            self._cells.insert(index, self._cells[index - 1])
        return index

    def _merge(self, index: int) -> None:
        if 0 < index < len(self._cells) and self._cells[index] == self._cells[index - 1]:
            del self._starts[index]
            del self._cells[index]


class WatchIndex(Generic[_Watcher]):
    """Watchers by the keys they watch."""

    def __init__(self) -> None:
        self._audiences: dict[Subscription, WatcherGroup[_Watcher]] = {}
        self._keys: dict[bytes, tuple[WatcherGroup[_Watcher], ...]] = {}
        self._ranges: Cells[WatcherGroup[_Watcher]] = Cells()

    def __bool__(self) -> bool:
        return bool(self._audiences)

    def of(self, key: bytes) -> tuple[WatcherGroup[_Watcher], ...]:
        """Return the audiences that watch `key`."""
        ranges = self._ranges.at(key)
        single = self._keys.get(key)
        return ranges if single is None else ranges + single

    def audiences(self) -> list[WatcherGroup[_Watcher]]:
        """Return all audiences."""
        return list(self._audiences.values())

    def add(self, watcher: _Watcher) -> None:
        """Add a watcher, to the audience of its interest."""
        interest = watcher.interest
        audience = self._audiences.get(interest)
        if audience is None:
            audience = self._audiences[interest] = WatcherGroup(interest)
            if _is_key(interest):
                self._keys[interest.start] = (*self._keys.get(interest.start, ()), audience)
            else:
                self._ranges.add(interest.start, interest.end, audience)
        audience.members[watcher] = None

    def remove(self, watcher: _Watcher) -> None:
        """Remove a watcher that was added, and its audience when that is empty."""
        interest = watcher.interest
        audience = self._audiences[interest]
        del audience.members[watcher]
        if audience.members:
            return
        del self._audiences[interest]
        if not _is_key(interest):
            self._ranges.remove(interest.start, interest.end, audience)
            return
        others = tuple(other for other in self._keys[interest.start] if other is not audience)
        if others:
            self._keys[interest.start] = others
        else:
            del self._keys[interest.start]


def _is_key(interest: Subscription) -> bool:
    return interest.end == interest.start + b"\0"
