"""What a compaction leaves behind is removed in the background, in small commits of the writer.

Compaction itself only moves the compacted revision C in the head. Reclaiming up to C, from the revision R where the
reclaim before it ended, has three passes, each of which may be repeated from its start after a crash:

1. Keep: of each change in (C, now] whose predecessor lies in (R, C], that predecessor is the newest version <= C of
   its key and superseded: it goes to section b. Changes made later than this pass began put theirs there themselves.
2. Clear: each change X in (R, C] makes older versions of its key unreadable: what section b holds of that key, when it
   is older than X, and what section d holds, when it is not younger than C.
3. Drop: the blocks of the log that end before C. A change at C itself stays: a watch may start there.
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
"""Names the writes of one commit, from the state that the commit is based on."""
Item = TypeVar("Item")


async def reclaim(view: StateView, commit: Callable[[Edit, int], Awaitable[None]]) -> None:
    """Reclaim up to the compacted revision of `view`, a snapshot taken just now.

    `commit` makes an edit durable and moves the `reclaimed` revision of the head to its second argument, if that is
    not 0.
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
    step: list[Stored] = []
    async for change in changes:
        step.append(change)
        if len(step) == STEP:
            yield step
            step = []
    if step:
        yield step


def _keep(layout: Layout, changes: list[Stored], first: int, upto: int) -> Edit:
    async def edit(view: StateView) -> Writes:
        newer = [change for change in changes if first < change.before <= upto and change.replaced_live]
        before = await view.before(newer)
        # One that is no longer in the log was kept by an earlier run of this pass.
        kept = [stored for stored in before if stored is not None and stored.live]
        return {layout.base(stored.version().key): stored.pack() for stored in kept}

    return edit


def _clear(layout: Layout, changes: list[Stored], upto: int) -> Edit:
    async def edit(view: StateView) -> Writes:
        newest = {change.version().key: change for change in changes if change.mod <= upto}
        replacing = [key for key, change in newest.items() if change.before]
        deleted = [key for key, change in newest.items() if not change.live and change.mod < upto]
        writes = await _older(view.reader, {layout.base(key): newest[key].mod for key in replacing})
        return writes | await _older(view.reader, {layout.dead(key): upto for key in deleted})

    return edit


async def _older(reader: Reader, limits: dict[bytes, int]) -> Writes:
    """The removal of those stored versions that are older than their limit."""
    values = await reader.get(list(limits))
    return {key: None for key, value in values.items() if Stored.unpack(value).mod < limits[key]}


def _drop(keys: Iterable[bytes]) -> Edit:
    async def edit(_: StateView) -> Writes:
        return dict.fromkeys(keys)

    return edit
