"""Commit more changes than one transaction takes: they are written ahead of the head, which then moves over all of it.

1. The head is marked: `ahead` names the revision that is being written. From here on every reader steps back from
   versions beyond the head (`state_view`).
2. The blocks of the log are written, then the index, in lanes. Whatever a lane changes in the index is in the log.
3. One small transaction moves the head, sets the small records and removes the mark.

A process that dies, or fails, before 3 leaves the mark. Whoever writes next undoes what it finds beyond the head: each
changed key gets back the version before, and then the blocks are removed. It begins by rewriting the lanes, so that no
transaction of the failed commit can happen later, and can be repeated from its start.
"""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import NamedTuple

from brainctl.mvcc.commit import Commit
from brainctl.mvcc.steps import in_turns
from brainctl.tikv.blocks import Blocks
from brainctl.tikv.bulk_writer import chunked_groups, write_bulk, write_chunks
from brainctl.tikv.commit_codec import Encoded, Writes, encode_steps
from brainctl.tikv.key_codec import LANES, after, position
from brainctl.tikv.leadership import Leadership, transaction_of, until_written
from brainctl.tikv.state_view import BLOCK_PAGE, StateView
from brainctl.tikv.value_codec import Stored, unpack_block

LARGE_CHANGES = 5_000
"""Changes in the largest commit that is one transaction; one with more is written ahead."""
LARGE_BYTES = 16 << 20
"""Bytes of changes in the largest commit that is one transaction; one with more is written ahead."""
PORTION = 20_000
"""Changed keys or blocks written between two checks whether the lead has to be renewed."""


class Prepared(NamedTuple):
    """Rest of a commit: one transaction, which moves the head."""

    view: StateView
    """The state that the transaction is based on; for a large commit, not the one that the commit was evaluated on."""
    writes: Writes
    blocks: dict[bytes, bytes]
    """The blocks of the log among the writes, by position."""


def is_large(commit: Commit) -> bool:
    """Return whether a commit is too large for one transaction."""
    changes = commit.changes
    return len(changes) > LARGE_CHANGES or sum([len(change.kv) for change in changes]) > LARGE_BYTES


async def begin(lead: Leadership) -> StateView:
    """Return the state to base a commit on, after undoing what is beyond its head (see `Leadership.begin`).

    Raises:
        Fenced: another writer has taken over.
        TikvFailed: TiKV does not answer.
    """
    if lead.head.ahead:
        await _undo(lead)
    return await lead.begin()


async def prepare(lead: Leadership, view: StateView, commit: Commit, known: Mapping[bytes, Stored]) -> Prepared:
    """Encode a commit that is based on `view`, and write ahead what is too large for one transaction.

    Args:
        lead: of this process.
        view: the state that the commit was evaluated on.
        commit: what is to be made durable.
        known: the newest stored version of every changed key that has one, as in `encode_steps`.

    Raises:
        Fenced: another writer has taken over.
        TikvFailed: nothing of the commit can be seen, and `begin` undoes what was written.
    """
    encoded = Encoded({}, {}, {})
    await in_turns(encode_steps(encoded, lead.layout, commit, known, view.compacted), partial(asyncio.sleep, 0))
    if not is_large(commit):
        return Prepared(view, encoded.writes(lead.layout), encoded.blocks)
    # By the time it commits, this transaction would be so old that its locks count as those of a dead process.
    await transaction_of(view).rollback()
    await _write_ahead(lead, encoded, commit.revision)
    return Prepared(await lead.begin(), encoded.records, {})


async def _write_ahead(lead: Leadership, encoded: Encoded, revision: int) -> None:
    """Write blocks and index of a commit that reaches to `revision`; its records and the head remain to be written."""
    await _edit(lead, {}, ahead=revision)
    layout = lead.layout
    await _write_portions(lead, ({layout.block(place): value} for place, value in encoded.blocks.items()))
    await _write_portions(lead, iter(encoded.keys.values()))


async def _write_portions(lead: Leadership, groups: Iterator[Writes]) -> None:
    """Write groups in bulk, and renew the lead between two portions when that is due."""
    while portion := list(islice(groups, PORTION)):
        await write_chunks(lead, chunked_groups(portion))
        if lead.renewal_is_due:
            await _edit(lead, {})


async def _undo(lead: Leadership) -> None:
    """Give every key that was changed beyond the head its version before.

    Raises:
        Fenced: another writer has taken over.
        TikvFailed: TiKV does not answer.
    """
    layout = lead.layout
    epoch = lead.head.epoch.to_bytes(8)
    await _edit(lead, {layout.lane(number): epoch for number in range(LANES)})
    # A cache of its own: other blocks will be written at the positions beyond the head.
    snapshot = await lead.client.snapshot(await lead.client.timestamp())
    view = StateView(layout, snapshot, lead.head, Blocks(layout))
    beyond = layout.log + position(lead.head.revision + 1, 0)
    async for page in snapshot.scan(beyond, after(layout.log), largest=BLOCK_PAGE):
        for _, block in page:
            keys = list(dict.fromkeys(change.version().key for change in unpack_block(block)))
            await write_chunks(lead, chunked_groups(await _restored(view, keys)))
        if lead.renewal_is_due:
            await _edit(lead, {})
    while places := await snapshot.keys(beyond, after(layout.log), PORTION):
        await write_bulk(lead, [(place, None) for place in places])
        beyond = places[-1] + b"\0"
    await _edit(lead, {}, ahead=0)


async def _restored(view: StateView, keys: list[bytes]) -> list[Writes]:
    """Return for each key the writes that make its version of the revision of `view` the newest one."""
    layout = view.layout
    found = await view.newest(keys)
    groups: list[Writes] = []
    for key in keys:
        before = found.get(key)
        group: Writes = {layout.live(key): None, layout.dead(key): None}
        if before is not None:
            group[layout.live(key) if before.live else layout.dead(key)] = before.pack()
            if before.mod <= view.compacted:
                # The large revision copied the version to section d when it replaced it: undoing removes that copy.
                group[layout.base(key)] = None
        groups.append(group)
    return groups


async def _edit(lead: Leadership, writes: Writes, **changes: int) -> None:
    """Commit writes and changes of the head, repeating the attempt while TiKV is away."""
    await until_written(partial(_try_edit, lead, writes, changes))


async def _try_edit(lead: Leadership, writes: Writes, changes: Mapping[str, int]) -> None:
    """Commit writes and changes of the head in one attempt."""
    view = await lead.begin()
    try:
        await lead.commit(transaction_of(view), writes, await lead.next_head(**changes))
    finally:
        await transaction_of(view).rollback()
