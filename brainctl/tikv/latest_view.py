"""Read the newest state of a store anew with each call."""

from collections.abc import AsyncIterator
from typing import Literal

from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.view import Revision, Selection
from brainctl.tikv.published_state import PublishedState
from brainctl.tikv.reads import Reads


class LiveView:
    """An `AsyncView` whose every call reads at a timestamp of its own; raises TikvFailed when TiKV does not answer."""

    remote: Literal[True] = True

    def __init__(self, shown: PublishedState, reads: Reads) -> None:
        self._shown = shown
        self._reads = reads
        self._compacted = 0
        """The compacted revision of the state from which a history was read last."""

    @property
    def revision(self) -> int:
        """See `View`."""
        return self._shown.head.revision

    @property
    def compacted(self) -> int:
        """See `View`. It may be ahead of what was shown, when a history was read after a later compaction."""
        return max(self._shown.head.compacted, self._compacted)

    async def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        """See `View`."""
        return await (await self._reads.state([key])).get(key, revision)

    async def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        """See `View`."""
        return await (await self._reads.state()).select(start, end, revision, limit)

    async def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        """See `View`."""
        return await (await self._reads.state()).count(start, end, revision)

    async def versions(self, start: bytes, end: bytes | None, revision: int) -> AsyncIterator[KeyVersion]:
        """See `View`."""
        async for version in (await self._reads.state()).versions(start, end, revision):
            yield version

    async def history(self, first: int, last: int) -> AsyncIterator[Revision]:
        """See `View`."""
        state = await self._reads.state()
        # The caller checks `compacted` after the last revision, before it uses the revisions that it has read.
        self._compacted = max(self._compacted, state.compacted)
        async for revision in state.history(first, last):
            yield revision
