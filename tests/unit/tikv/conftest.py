"""Stores on a real TiKV cluster, each under a prefix of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

import pytest

from brainctl.tikv.backend import Role, TikvBackend, open_backend
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


@pytest.fixture
def backend_of(tikv: Playground, prefix: str) -> OpenBackend:
    """Open the test's store, as often as wanted: async with backend_of(role)."""

    @asynccontextmanager
    async def opened(role: Role = Role.LEADER) -> AsyncIterator[TikvBackend]:
        backend = await open_backend([tikv.endpoint], prefix, role)
        try:
            yield backend
        finally:
            await asyncio.wait_for(backend.close(), 120)

    return opened
