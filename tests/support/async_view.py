"""A memory view behind a network that lets others in at every step."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

from brainctl.mvcc.keyversion import KeyVersion
from brainctl.mvcc.view import Revision, Selection
from tests.support.memory import MemoryView


class SlowView:
    """An AsyncView over a memory view; `between` runs whenever it waits."""

    remote: Literal[True] = True

    def __init__(self, view: MemoryView) -> None:
        self.inner = view
        self.between: Callable[[], None] = lambda: None

    @property
    def revision(self) -> int:
        return self.inner.revision

    @property
    def compacted(self) -> int:
        return self.inner.compacted

    async def wait(self) -> None:
        self.between()
        await asyncio.sleep(0)

    async def get(self, key: bytes, revision: int = 0) -> KeyVersion | None:
        await self.wait()
        return self.inner.get(key, revision)

    async def select(self, start: bytes, end: bytes | None, revision: int, limit: int) -> Selection:
        await self.wait()
        return self.inner.select(start, end, revision, limit)

    async def count(self, start: bytes, end: bytes | None, revision: int) -> int:
        await self.wait()
        return self.inner.count(start, end, revision)

    async def versions(self, start: bytes, end: bytes | None, revision: int) -> AsyncIterator[KeyVersion]:
        for version in list(self.inner.versions(start, end, revision)):
            await self.wait()
            yield version

    async def history(self, first: int, last: int) -> AsyncIterator[Revision]:
        for revision in list(self.inner.history(first, last)):
            await self.wait()
            yield revision
