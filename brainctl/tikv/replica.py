"""Write what a migration copies into a store on TiKV: versions arrive as another store made them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from brainctl.errors import Fenced
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.partial_history import of_known_keys
from brainctl.tikv import ahead
from brainctl.tikv.blocks import Blocks
from brainctl.tikv.bulk_writer import write_bulk
from brainctl.tikv.client import Client
from brainctl.tikv.commit_codec import Writes
from brainctl.tikv.counts import IMPORTED
from brainctl.tikv.errors import TikvFailed
from brainctl.tikv.holder import Holder, living_holder
from brainctl.tikv.key_codec import Layout, after
from brainctl.tikv.leadership import HEARTBEAT_SECONDS, Leadership, transaction_of, until_written
from brainctl.tikv.log_follower import read_records
from brainctl.tikv.reads import Reads
from brainctl.tikv.state_view import StateView
from brainctl.tikv.value_codec import NOWHERE, Head, Stored

MAX_CHANGES = 2_000
"""Changes in one transaction of the change stream; a single revision may have more."""
MAX_CHANGE_BYTES = 8 << 20
"""Bytes of changes in one transaction of the change stream; a single revision may have more."""
RESET_KEYS = 20_000
"""Keys removed between two reads of what is left."""

Meta = Mapping[bytes, bytes | None]
"""Small records to set, or to remove (None)."""


class ReplicaWriter:
    """Writes versions, history and small records into a store of which it holds the lead."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client = client
        self._layout = layout
        blocks = Blocks(layout)
        self._lead = Leadership(client, layout, blocks)
        self._lead.holder = Holder.here("migrate").pack()
        self._reads = Reads(client, layout, blocks)
        self.head = Head()
        """The head as last seen."""
        self._committing = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None

    @property
    def place(self) -> str:
        """Return where the store is, for messages."""
        return self._lead.place

    async def state(self) -> StateView:
        """Return the newest state.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        state = await self._reads.state()
        self.head = state.head
        return state

    async def records(self, state: StateView | None = None) -> dict[bytes, bytes]:
        """Return all small records of a state, the newest one by default.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        return await read_records(state or await self.state())

    async def holder(self, *roles: str) -> Holder | None:
        """Return who holds the lead and lives, if that is one of these roles; otherwise None.

        Raises:
            TikvFailed: TiKV does not answer.
        """
        return await living_holder(self._client, self._layout, *roles)

    async def take_over(self) -> None:
        """Take the lead, whoever holds it, and finish a reset that was interrupted.

        Raises:
            TikvFailed: TiKV does not answer.
            Fenced: another writer has taken over meanwhile.
        """
        await self._lead.acquire(force=True)
        state = await self.state()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.ensure_future(self._beat())
        resetting = (await state.reader.get([self._layout.resetting])).get(self._layout.resetting)
        if resetting is not None:
            await self._remove_all(resetting.split(b"\n"))

    async def write(self, meta: Meta) -> None:
        """Set small records; they are durable on return.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: nothing was written.
        """
        await self._commit(Commit(self._lead.head.revision, meta=dict(meta)))

    async def import_versions(self, versions: Sequence[KeyVersion], base_revision: int, meta: Meta) -> None:
        """Add live versions as they stood at `base_revision`; on return all is durable.

        The base revision becomes the compacted revision, and the revision of the store, where those are lower. The
        small records are written last, when all versions are durable.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: some of the versions may be durable, the small records are not.
        """
        layout = self._layout
        imported = (
            (layout.live(v.key), Stored(True, v.mod_revision, v.sub, NOWHERE, 0, NOWHERE, v.kv).pack())
            for v in versions
        )
        await write_bulk(self._lead, imported)
        await self._set_base(base_revision, meta)

    async def advance_base(self, changes: Sequence[KeyVersion], base_revision: int, meta: Meta) -> None:
        """Append whole revisions that follow the base, in one commit, and make the last one the base.

        Changes of keys that the store lacks are left out, as `ReplicaTarget.advance_base` says. On return all is
        durable.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: nothing of it is durable.
        """
        if changes and self._lead.head.revision < changes[0].mod_revision - 1:
            # Keys that a killed import left are beyond the head, where nobody sees them.
            await self._set_base(changes[0].mod_revision - 1, {})
        state = await self.state()
        new = [change for change in changes if change.mod_revision > state.revision]
        known = await state.newest([change.key for change in new])
        kept = of_known_keys(new, lambda key: key in known and known[key].live)
        commit = Commit(max(state.revision, base_revision), kept, meta=dict(meta))
        await self._commit(commit, compacted=max(state.head.compacted, base_revision))

    async def _set_base(self, revision: int, meta: Meta) -> None:
        """Make a revision the base, where that is lower, and set small records."""
        head = self._lead.head
        # The record tells processes that count keys in memory that some were added which are not in the log.
        copied: Meta = {IMPORTED: head.sequence.to_bytes(8)}
        commit = Commit(max(head.revision, revision), meta={**meta, **copied})
        # Up to the first base there is no log. Later ones leave the garbage of the revisions between to the reclaim.
        reclaimed = head.reclaimed if head.compacted else revision
        await self._commit(commit, compacted=max(head.compacted, revision), reclaimed=reclaimed)

    async def apply(self, changes: Sequence[KeyVersion], revision: int, meta: Meta) -> None:
        """Append whole revisions of a history, in order; those that the store has are skipped. On return they are
        durable.

        More changes than one transaction takes are committed in several, each at the end of a revision.

        Args:
            changes: the changes of the revisions.
            revision: becomes that of the store with the last commit.
            meta: small records that are written with the last commit.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: the revisions up to some point are durable.
        """
        known = self._lead.head.revision
        pieces = list(_pieces([change for change in changes if change.mod_revision > known]))
        for piece in pieces[:-1]:
            await self._commit(Commit(piece[-1].mod_revision, piece))
        last = pieces[-1] if pieces else []
        await self._commit(Commit(max(revision, known), last, meta=dict(meta)))

    async def reset(self, keep: Sequence[bytes], meta: Meta) -> None:
        """Remove everything but the small records named in `keep`; those in `meta` are set with the first commit.

        Once begun it is finished, if need be by the next process that takes over.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: the reset may have begun.
        """
        begun: Writes = {self._layout.resetting: b"\n".join(keep)}
        await self._commit(Commit(1, meta=dict(meta)), begun, revision=1, compacted=0, reclaimed=0)
        await self._remove_all(keep)

    async def close(self) -> None:
        """Release the lead, if this process has it, and close the connection."""
        if self._beating is not None:
            async with self._committing:
                self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        try:
            if self._lead.head.epoch and (await self.state()).head == self._lead.head:
                await self._lead.release()
        finally:
            await self._lead.close()
            await self._client.close()

    # -- commits --------------------------------------------------------------------------------------------------

    async def _commit(self, commit: Commit, more: Writes | None = None, **head: int) -> None:
        """Make a commit durable, together with other writes and changes of the head.

        Raises:
            Fenced: another writer has taken over.
            TikvFailed: nothing was written.
        """
        async with self._committing:
            await until_written(partial(self._try_commit, commit, more or {}, head))

    async def _try_commit(self, commit: Commit, more: Writes, changes: Mapping[str, int]) -> None:
        view = await ahead.begin(self._lead)
        try:
            known = await view.newest([change.key for change in commit.changes])
            prepared = await ahead.prepare(self._lead, view, commit, known)
            view = prepared.view
            records = view.head.sequence + 1 if commit.meta else view.head.records
            revision = max(commit.revision, view.revision)
            head = await self._lead.next_head(**{"revision": revision, "records": records, "ahead": 0, **changes})
            await self._lead.commit(transaction_of(view), prepared.writes | more, head)
        finally:
            await transaction_of(view).rollback()
        self.head = head

    async def _beat(self) -> None:
        """Keep the lead while the source is silent. A writer that has lost it finds out with its own next commit."""
        with suppress(Fenced):
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                with suppress(TikvFailed):
                    await self._commit(Commit(self._lead.head.revision))

    async def _remove_all(self, keep: Sequence[bytes]) -> None:
        """Remove all versions and small records, then the mark that this is under way."""
        layout = self._layout
        kept = {layout.record(name) for name in keep}
        state = await self.state()
        for section in (layout.lives, layout.deads, layout.bases, layout.log, layout.records):
            start = section
            while keys := await state.reader.keys(start, after(section), RESET_KEYS):
                await write_bulk(self._lead, [(key, None) for key in keys if key not in kept])
                start = keys[-1] + b"\0"
        self._lead.blocks.clear()
        head = self._lead.head
        await self._commit(Commit(head.revision), {layout.resetting: None}, records=head.sequence + 1)


def _pieces(changes: list[KeyVersion]) -> Iterator[list[KeyVersion]]:
    """Cut changes into what one transaction takes, at the ends of revisions."""
    piece: list[KeyVersion] = []
    size = 0
    for change in changes:
        full = len(piece) >= MAX_CHANGES or size >= MAX_CHANGE_BYTES
        if full and change.mod_revision != piece[-1].mod_revision:
            yield piece
            piece, size = [], 0
        piece.append(change)
        size += len(change.kv)
    if piece:
        yield piece
