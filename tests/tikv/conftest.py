"""Stores on a real TiKV cluster, each under a prefix of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

import pytest

from brainctl.tikv.medium import Role, TikvMedium, open_medium
from tests.peers.servers import Playground

_numbers = count()
OpenMedium = Callable[..., AbstractAsyncContextManager[TikvMedium]]


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{next(_numbers)}"


@pytest.fixture
def medium_of(tikv: Playground, prefix: str) -> OpenMedium:
    """Open the test's store, as often as wanted: async with medium_of(role)."""

    @asynccontextmanager
    async def opened(role: Role = Role.LEADER) -> AsyncIterator[TikvMedium]:
        medium = await open_medium([tikv.endpoint], prefix, role)
        try:
            yield medium
        finally:
            await asyncio.wait_for(medium.close(), 120)

    return opened
