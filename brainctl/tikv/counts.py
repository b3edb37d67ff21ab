"""Keep the number of live keys in memory, by blocks of keys: a limited page need not read all that follows it.

A block is a range of user keys and how many of them are live. Blocks come into being where a range is counted: what is
not known is read from TiKV once, keys only. From then on every commit that this process shows, its own or another's,
moves the counts; a block that grows beyond its size is forgotten and read anew in smaller ones.

A count is requested at the revision of a state, which need not be the one that was shown last: the difference is in the
journal of the newest commits, or in the log. A page at a fixed revision remembers how many keys follow it, so the next
page of the same list counts nothing.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from brainctl.mvcc.commit import Commit
from brainctl.mvcc.lessor import LEASES
from brainctl.mvcc.steps import Steps, finish, in_pieces
from brainctl.tikv.key_codec import MAX_KEY

BLOCK_KEYS = 512
"""Keys in a new block."""
LARGEST_BLOCK = 4 * BLOCK_KEYS
"""Keys in the largest block; one with more is forgotten."""
MAX_BLOCKS = 200_000
"""Blocks that are kept, in some 40 MB of memory. With more, all are forgotten."""
JOURNAL = 20_000
"""Creations and deletions that are remembered; up to twice as many between two cuts."""
NEVER = 1 << 63
"""A revision that no store reaches."""
PAGES = 4_096
"""Pages of which it is remembered how many keys follow."""
TOP = b"\xff" * (MAX_KEY + 1)
"""A key above every other: the end of a range without one."""

IMPORTED = b"imported"
"""The small record that a migration changes with every part of its base copy."""

Span = tuple[bytes, bytes]


class Block:
    """A range of keys, and how many of them are live."""

    __slots__ = ("count", "end", "since", "start")

    def __init__(self, start: bytes, end: bytes, count: int, since: int) -> None:
        self.start = start
        self.end = end
        self.count = count
        self.since = since
        """The revision at which it was counted: changes up to it are contained."""


class Known(NamedTuple):
    """Count of a range at one revision, as far as it is known."""

    total: int
    """Live keys of the parts that are known, at the revision `at`."""
    at: int
    held: list[Span]
    """Parts whose count is of the revision `at`; the others were counted at the revision asked for."""
    gaps: list[Span]
    """The parts that have to be read."""


def within(key: bytes, spans: list[Span]) -> bool:
    """Return whether a key lies in one of some ranges, which are in order and disjoint."""
    at = bisect_right(spans, key, key=_start) - 1
    return at >= 0 and key < spans[at][1]


def _start(span: Span) -> bytes:
    return span[0]


class Counts:
    """The counts of one store, as far as they are known."""

    def __init__(self) -> None:
        self._starts: list[bytes] = []
        self._blocks: list[Block] = []
        self._journal: list[tuple[int, bytes, int]] = []
        self._floor = 0
        """The journal has all changes of revisions after this one."""
        self._revision = 0
        self._paused = False
        self._pages: OrderedDict[tuple[bytes, bytes | None, int], int] = OrderedDict()

    # -- what happens ---------------------------------------------------------------------------------------------

    def begin(self, revision: int | None) -> None:
        """Forget everything, and go on with the commits after a revision; with None ignore commits until the next call
        of `begin`, since some may be missing.
        """
        self._paused = revision is None
        revision = NEVER if revision is None else revision
        self._starts, self._blocks, self._journal = [], [], []
        self._pages.clear()
        self._floor = self._revision = revision

    def apply(self, commit: Commit) -> None:
        """Apply the next commit."""
        finish(self.apply_steps(commit))

    def apply_steps(self, commit: Commit) -> Steps[None]:
        """Apply, in steps, the next commit; between two steps nothing counts as known.

        A migration writes or removes keys beside the log, and then changes the record IMPORTED or removes others. After
        such a commit everything is forgotten.
        """
        if self._paused:
            return
        beside = any(
            name == IMPORTED or (value is None and not name.startswith(LEASES)) for name, value in commit.meta.items()
        )
        if commit.revision < self._revision or beside:
            self.begin(commit.revision)
            return
        floor, self._floor = self._floor, NEVER
        journal = self._journal
        for changes in in_pieces(commit.changes):
            for change in changes:
                if change.version <= 1:
                    self._move(change.mod_revision, change.key, 1 if change.version else -1)
            yield len(changes) // 2
            if self._journal is not journal:
                return  # it was begun anew meanwhile, after this commit
        self._floor, self._revision = floor, commit.revision
        if len(self._journal) > 2 * JOURNAL:
            self._floor = self._journal[-JOURNAL - 1][0]
            del self._journal[: bisect_right(self._journal, self._floor, key=_revision)]

    def _move(self, revision: int, key: bytes, by: int) -> None:
        """Change the count of the block of a key, and note the change in the journal."""
        self._journal.append((revision, key, by))
        at = bisect_right(self._starts, key) - 1
        if at < 0 or key >= self._blocks[at].end:
            return
        block = self._blocks[at]
        if revision > block.since:
            block.count += by
            if block.count > LARGEST_BLOCK:
                del self._starts[at], self._blocks[at]

    # -- counting -------------------------------------------------------------------------------------------------

    def known(self, start: bytes, end: bytes, revision: int) -> Known:
        """Return what is known of a range at the revision of a state."""
        if revision < self._floor:
            return Known(0, revision, [], [(start, end)])
        total, at = 0, start
        held: list[Span] = []
        gaps: list[Span] = []
        for block in self._inside(start, end):
            if block.since > self._revision and block.since != revision:
                continue
            if at < block.start:
                gaps += self._cut(at, block.start)
            total += block.count
            at = block.end
            if block.since > self._revision:
                continue
            if held and held[-1][1] == block.start:
                held[-1] = (held[-1][0], block.end)
            else:
                held.append((block.start, block.end))
        if at < end:
            gaps += self._cut(at, end)
        if revision < self._revision:
            total -= sum(by for _, key, by in self._since(revision) if within(key, held))
            return Known(total, revision, [], gaps)
        return Known(total, self._revision, held, gaps)

    def _inside(self, start: bytes, end: bytes) -> Iterator[Block]:
        """Yield the blocks that lie within a range as a whole."""
        for at in range(bisect_left(self._starts, start), len(self._blocks)):
            block = self._blocks[at]
            if block.end > end:
                return
            yield block

    def _cut(self, start: bytes, end: bytes) -> list[Span]:
        """Return a gap, cut where a block that lies across one of its ends begins or ends."""
        cuts = [start]
        for key in (start, end):
            at = bisect_right(self._starts, key) - 1
            if at >= 0:
                block = self._blocks[at]
                cuts += [edge for edge in (block.start, block.end) if start < edge < end]
        cuts = sorted({*cuts, end})
        return list(pairwise(cuts))

    def _since(self, revision: int) -> Iterable[tuple[int, bytes, int]]:
        """Return the changes in the journal after a revision."""
        return self._journal[bisect_right(self._journal, revision, key=_revision) :]

    def moved(self, start: bytes, end: bytes, first: int, last: int) -> int | None:
        """Return by how much the number of keys of a range grew after revision `first` and up to `last`.

        None where the journal does not reach that far.
        """
        if first < self._floor or last > self._revision:
            return None
        return sum(by for revision, key, by in self._since(first) if revision <= last and start <= key < end)

    def learn(self, start: bytes, end: bytes, count: int, revision: int) -> None:
        """Take in how many keys a range had at a revision; the range is a gap, or a part of one."""
        if revision < self._floor:
            return
        for _, key, by in self._since(revision):
            if start <= key < end:
                count += by
        at = bisect_right(self._starts, start) - 1
        if at >= 0 and self._blocks[at].end > start:
            block = self._blocks[at]
            exact = block.since <= self._revision and revision <= self._revision
            if exact and block.start < start and block.end == end:
                block.end, block.count = start, block.count - count
            elif exact and block.start == start and end < block.end:
                self._put(at, Block(end, block.end, block.count - count, block.since), replace=True)
            else:
                del self._starts[at], self._blocks[at]
        at = bisect_left(self._starts, start)
        while at < len(self._starts) and self._starts[at] < end:
            del self._starts[at], self._blocks[at]
        if len(self._blocks) >= MAX_BLOCKS:
            self._starts, self._blocks, at = [], [], 0
        self._put(at, Block(start, end, count, revision), replace=False)

    def _put(self, at: int, block: Block, *, replace: bool) -> None:
        self._starts[at : at + replace] = [block.start]
        self._blocks[at : at + replace] = [block]

    # -- pages ----------------------------------------------------------------------------------------------------

    def follow(self, start: bytes, end: bytes | None, revision: int, count: int) -> None:
        """Remember how many keys a range has at a revision: those that follow a page."""
        self._pages[start, end, revision] = count
        if len(self._pages) > PAGES:
            self._pages.popitem(last=False)

    def following(self, start: bytes, end: bytes | None, revision: int) -> int | None:
        """Return the count that `follow` has remembered for a range, None without one."""
        return self._pages.get((start, end, revision))


def _revision(entry: tuple[int, bytes, int]) -> int:
    return entry[0]
