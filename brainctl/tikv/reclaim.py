"""Remove what a compaction leaves behind, in the background and in small commits of the writer.

Compaction itself only moves the compacted revision C in the head. Reclaiming up to C, from the revision R where the
reclaim before it ended, has three passes, each of which may be repeated from its start after a crash:

1. Keep: of each change in (C, now] whose predecessor lies in (R, C], that predecessor is the newest version <= C of
   its key and superseded: it goes to section b. Changes made later than this pass began put theirs there themselves.
2. Clear: each change X in (R, C] makes older versions of its key unreadable: what section b holds of that key, when it
   is older than X, and what section d holds, when it is older than C.
3. Drop: the blocks of the log that end before C. A change at C itself stays: a watch may start there.

For example: put x (revision 2), put y (3), put x (4), delete y (5), put x (6), compact 5; R is 0 before. Pass 1 copies
x's version of revision 4 to `b/x`, since revision 6 has replaced it in section k. Pass 2 removes nothing: y's tombstone
is of revision 5 itself. Pass 3 drops the blocks of revisions 2, 3 and 4. Now R is 5.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from brainctl.tikv.client import Reader
from brainctl.tikv.commit_codec import Writes
from brainctl.tikv.key_codec import Layout, position
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Stored

STEP = 200
"""Changes looked at, or keys deleted, in one commit."""

Edit = Callable[[StateView], Awaitable[Writes]]
"""Returns the writes of one commit, from the state that the commit is based on."""
Item = TypeVar("Item")


async def reclaim(view: StateView, commit: Callable[[Edit, int], Awaitable[None]]) -> None:
    """Reclaim up to the compacted revision of `view`, a snapshot taken just now.

    Args:
        view: the state of the store.
        commit: makes an edit durable, and moves the `reclaimed` revision of the head to its second argument, if that
            is not 0.

    Raises:
        Fenced: another writer has taken over.
        TikvFailed: TiKV does not answer.
    """
    layout, upto = view.layout, view.compacted
    first = view.head.reclaimed
    async for changes in _steps(view.changes(upto + 1, view.revision)):
        await commit(_keep(layout, changes, first, upto), 0)
    async for changes in _steps(view.changes(first, upto)):
        await commit(_clear(layout, changes, upto), 0)
    ends = position(upto, 0)
    blocks = [layout.block(place) async for place, _ in view.blocks(first) if place < ends]
    for at in range(0, len(blocks), STEP):
        await commit(_drop(blocks[at : at + STEP]), 0)
    await commit(_drop([]), upto)


async def _steps(changes: AsyncIterator[Stored]) -> AsyncIterator[list[Stored]]:
    """Yield changes in lists of STEP."""
    step: list[Stored] = []
    async for change in changes:
        step.append(change)
        if len(step) == STEP:
            yield step
            step = []
    if step:
        yield step


def _keep(layout: Layout, changes: list[Stored], first: int, upto: int) -> Edit:
    """Return the edit of the first pass for some changes after C."""

    async def edit(view: StateView) -> Writes:
        newer = [change for change in changes if first < change.before <= upto and change.replaced_live]
        before = await view.before(newer)
        # A version that is no longer in the log was copied by an earlier run of this pass.
        kept = [stored for stored in before if stored is not None and stored.live]
        return {layout.base(stored.version().key): stored.pack() for stored in kept}

    return edit


def _clear(layout: Layout, changes: list[Stored], upto: int) -> Edit:
    """Return the edit of the second pass for some changes up to C."""

    async def edit(view: StateView) -> Writes:
        keyed = [(change.version().key, change) for change in changes if change.mod <= upto]
        newest = dict(keyed)
        # Not only the newest: one that follows a compacted deletion has none before it, but the deletion has.
        replacing = {key for key, change in keyed if change.before}
        deleted = [key for key, change in newest.items() if not change.live and change.mod < upto]
        writes = await _older(view.reader, {layout.base(key): newest[key].mod for key in replacing})
        return writes | await _older(view.reader, {layout.dead(key): upto for key in deleted})

    return edit


async def _older(reader: Reader, limits: dict[bytes, int]) -> Writes:
    """Return the removal of those stored versions that are older than their limit."""
    values = await reader.get(list(limits))
    return {key: None for key, value in values.items() if Stored.unpack(value).mod < limits[key]}


def _drop(keys: Iterable[bytes]) -> Edit:

    async def edit(_: StateView) -> Writes:
        return dict.fromkeys(keys)

    return edit
