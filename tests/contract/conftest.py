"""The stores that keep the contract. A real etcd is one of them: with it the expectations are proved."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from brainctl.stores.store import Store
from tests.contract import stores
from tests.contract.driver import Driver
from tests.peers import missing
from tests.peers.servers import Brainctl, Etcd, Playground, Server

KINDS = ("etcd", "memory", "local", "served", "tikv")
SERVERS: dict[str, type[Server]] = {"etcd": Etcd, "served": Brainctl, "tikv": Playground}
_numbers = count()


@pytest.fixture(scope="session", params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A store of each kind, shared by the tests of a worker."""
    kind: str = request.param
    directory = tmp_path_factory.mktemp(kind)
    with ExitStack() as stack:
        server = stack.enter_context(SERVERS[kind](directory)) if kind in SERVERS else None
        runner = stack.enter_context(asyncio.Runner())
        opened = runner.run(_open(kind, directory, server))
        yield Driver(opened, runner)
        runner.run(opened.close())


@pytest.fixture
def key() -> bytes:
    """A prefix that no other test uses; no key starts with it."""
    return b"contract/%04d/" % next(_numbers)


async def _open(kind: str, directory: Path, server: Server | None) -> Store:
    if kind == "memory":
        return stores.memory()
    if kind == "local":
        return stores.local(directory)
    assert server is not None
    if isinstance(server, Playground):
        return await stores.tikv(server.url("contract"))
    opened = stores.client(server.endpoint)
    if isinstance(server, Etcd) and not (version := (await opened.status()).version).startswith("3.7."):
        await opened.close()
        missing(f"the contract is that of etcd 3.7, and the etcd of this machine is {version}")
    return opened
