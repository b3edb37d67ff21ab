"""A TiKV cluster of one's own, given by BRAINCTL_TEST_PD: tests use a prefix of their own in it, and leave nothing."""

import asyncio
import os
import secrets
from pathlib import Path
from typing import Self

from brainctl.tikv.client import open_client
from tests.peers.servers import Playground

VARIABLE = "BRAINCTL_TEST_PD"
"""The environment variable with the address of a Placement Driver, HOST:PORT."""


class ExternalTikv(Playground):
    """A cluster that runs already, and goes on running; a context manager that removes what was written."""

    def __init__(self, directory: Path, endpoint: str) -> None:
        super().__init__(directory)
        self._endpoint = endpoint
        self._own = f"brainctl-test-{secrets.token_hex(6)}"

    @property
    def endpoint(self) -> str:
        return self._endpoint

    def url(self, prefix: str) -> str:
        """The store URL of a prefix below that of these tests."""
        return super().url(f"{self._own}/{prefix}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run(self._remove())

    async def _remove(self) -> None:
        client, start = open_client([self.endpoint]), f"{self._own}/".encode()
        try:
            snapshot = await client.snapshot(await client.timestamp())
            async for page in snapshot.scan(start, start[:-1] + b"0"):
                transaction = await client.begin()
                await transaction.commit({key: None for key, _ in page})
        finally:
            await client.close()


def cluster(directory: Path) -> Playground:
    """Return the cluster that the variable names, a new one without it; it is not started yet."""
    endpoint = os.environ.get(VARIABLE)
    return ExternalTikv(directory, endpoint) if endpoint else Playground(directory)
