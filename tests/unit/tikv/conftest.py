"""Stores on a real TiKV cluster, each under a prefix of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

import pytest

from brainctl.tikv.backend import TikvBackend, open_backend
from brainctl.tikv.blocks import Blocks
from brainctl.tikv.client import open_client
from brainctl.tikv.key_codec import Layout
from brainctl.tikv.leadership import Leadership
from brainctl.tikv.succession import Role
from tests.peers.servers import Playground

_numbers = count()
OpenBackend = Callable[..., AbstractAsyncContextManager[TikvBackend]]


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses.

    It must not begin with "t": the playground takes a key for a row of a TiDB table, and decodes its value, when it
    begins with "t" and has an "r" at the eleventh place ("test-10/k/round1"). A real TiKV looks into no key.
    """
    return f"store-{next(_numbers)}"


async def usurp(tikv: Playground, prefix: str) -> None:
    """Take the lead from whoever has it, as a migration does that is told to, and give it back."""
    client, layout = open_client([tikv.endpoint]), Layout(prefix)
    lead = Leadership(client, layout, Blocks(layout))
    await lead.acquire(force=True)
    await lead.release()
    await client.close()


@pytest.fixture
def backend_of(tikv: Playground, prefix: str) -> OpenBackend:
    """Open the test's store, as often as wanted: async with backend_of(role)."""

    @asynccontextmanager
    async def opened(role: Role = Role.LEADER, *, usurping: bool = False) -> AsyncIterator[TikvBackend]:
        if usurping:
            await usurp(tikv, prefix)
        backend = await open_backend([tikv.endpoint], prefix, role)
        try:
            yield backend
        finally:
            await asyncio.wait_for(backend.close(), 120)

    return opened
