"""Read the commits of another process as they appear in the log."""

from collections.abc import AsyncIterator

from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import Head


async def commits_since(known: Head, view: StateView, records: dict[bytes, bytes]) -> AsyncIterator[Commit]:
    """Yield what happened between the head `known` and the state of `view`, commit by commit.

    Args:
        known: the head up to which everything is known.
        view: a later state.
        records: the small records as they were at `known`; their changes come with the last commit.

    Raises:
        TikvFailed: TiKV does not answer.
        StoreDamaged: a value in the log is not a block.
    """
    pending: Commit | None = None
    newest: dict[bytes, KeyVersion] = {}
    """The last change of each key in `pending`."""
    async for _, block in view.blocks(known.revision + 1):
        changes = [stored for stored in block if known.revision < stored.mod <= view.revision]
        if not changes:
            continue
        if pending is not None and pending.revision != changes[0].mod:
            yield pending
            pending = None
            newest.clear()
        # The revision of a large transaction is in several blocks, and watchers must receive it as one.
        pending = pending or Commit(0)
        pending.revision = changes[-1].mod
        for stored, before in zip(changes, await view.before(changes), strict=True):
            version = stored.version()
            pending.changes.append(version)
            if version.key in newest and newest[version.key].mod_revision == stored.mod:
                # A transaction may change a key twice, and the block does not tell its versions of one key apart.
                earlier = newest[version.key]
                pending.before.append(earlier if earlier.version else None)
            else:
                pending.before.append(before.version() if before is not None and before.live else None)
            newest[version.key] = version
    last = pending or Commit(view.revision)
    last.revision = view.revision
    if view.head.records != known.records:
        now = await read_records(view)
        last.meta = {name: now.get(name) for name in records.keys() | now.keys() if records.get(name) != now.get(name)}
    if view.compacted > known.compacted:
        last.compact = view.compacted
    if last.changes or last.meta or last.compact or view.revision > known.revision:
        yield last


async def is_whole(known: int, view: StateView) -> bool:
    """Return whether the log still holds every change after a revision up to the compacted one, with what each
    replaced.

    Revisions that hold no change count as removed.

    Args:
        known: the revision up to which everything is known.
        view: a later state, whose compacted revision is meant.

    Raises:
        TikvFailed: TiKV does not answer.
        StoreDamaged: a value in the log is not a block.
    """
    mod, sub = known, 0
    async for _, block in view.blocks(known + 1):
        changes = [stored for stored in block if known < stored.mod <= view.compacted]
        for stored in changes:
            if (stored.mod, stored.sub) not in {(mod, sub + 1), (mod + 1, 0)}:
                return False
            mod, sub = stored.mod, stored.sub
        replacing = [stored for stored in changes if stored.replaced_live]
        if None in await view.before(replacing):
            return False
        if mod >= view.compacted:
            break
    return mod >= view.compacted


async def read_records(view: StateView) -> dict[bytes, bytes]:
    """Return all small records by name."""
    section = view.layout.records
    bounds = view.layout.bounds(section, b"", None)
    return {key[len(section) :]: value async for page in view.reader.scan(*bounds) for key, value in page}
