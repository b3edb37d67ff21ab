"""Each test once with the client of our own and once with the package."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from brainctl.tikv.client import Client, ClientKind, open_client
from tests.peers.servers import Playground

OpenClient = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(params=list(ClientKind), ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> ClientKind:
    found: ClientKind = request.param
    return found


@pytest.fixture
def client_of(kind: ClientKind) -> OpenClient:
    """Open a client of the kind under test: async with client_of(cluster)."""

    @asynccontextmanager
    async def opened(cluster: Playground | str) -> AsyncIterator[Client]:
        endpoint = cluster if isinstance(cluster, str) else cluster.endpoint
        client = open_client([endpoint], kind=kind)
        try:
            yield client
        finally:
            await client.close()

    return opened
