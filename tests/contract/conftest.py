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
from tests.peers.servers import Brainctl, Etcd
from tests.support.tikv import cluster

KINDS = ("etcd", "memory", "local", "served", "tikv", "served-tikv")
_numbers = count()


@pytest.fixture(scope="session", params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A store of each kind, shared by the tests of a worker."""
    directory = tmp_path_factory.mktemp(request.param)
    with ExitStack() as servers, asyncio.Runner() as runner:
        opened = runner.run(_open(request.param, directory, servers))
        yield Driver(opened, runner)
        runner.run(opened.close())


@pytest.fixture
def key() -> bytes:
    """A prefix that no other test uses; no key starts with it."""
    return b"contract/%04d/" % next(_numbers)


async def _open(kind: str, directory: Path, servers: ExitStack) -> Store:
    match kind:
        case "etcd":
            return await _only_3_7(stores.client(servers.enter_context(Etcd(directory)).endpoint))
        case "memory":
            return stores.memory()
        case "local":
            return stores.local(directory)
        case "served":
            return stores.client(servers.enter_context(Brainctl(directory)).endpoint)
    url = servers.enter_context(cluster(directory / "tikv")).url("contract")
    if kind == "tikv":
        return await stores.tikv(url)
    # The client talks to a server that does not lead, so that both the follower and what it forwards keep the contract.
    servers.enter_context(Brainctl(directory / "leader", "--name", "leader", store=url))
    follower = Brainctl(directory / "follower", "--name", "follower", "--role", "follower", store=url)
    return stores.client(servers.enter_context(follower).endpoint)


async def _only_3_7(etcd: Store) -> Store:
    version = (await etcd.status()).version
    if not version.startswith("3.7."):
        await etcd.close()
        missing(f"the contract is that of etcd 3.7, and the etcd of this machine is {version}")
    return etcd
