"""Every test here runs against `brainctl serve` and against a real etcd 3.7, which proves the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.conformance.client import Client
from tests.peers import missing
from tests.peers.servers import Brainctl, Etcd

Own = Callable[..., Client]
_numbers = count()


@pytest.fixture(scope="session", params=["brainctl", "etcd"])
def kind(request: pytest.FixtureRequest) -> type[Brainctl | Etcd]:
    return Brainctl if request.param == "brainctl" else Etcd


@pytest.fixture(scope="session")
def server(kind: type[Brainctl | Etcd], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that the tests of a worker share, one after the other."""
    with kind(tmp_path_factory.mktemp(kind.name)) as started:
        client = Client(started)
        version = client.status().version
        if kind is Etcd and not version.startswith("3.7."):
            missing(f"the items are those of etcd 3.7, and the etcd of this machine is {version}")
        yield client
        client.close()


@pytest.fixture
def own(kind: type[Brainctl | Etcd], tmp_path: Path) -> Iterator[Own]:
    """Start a server of the test's own: own(*flags), with syncs only where the test asks for them."""
    numbers = count()
    with ExitStack() as servers:

        def start(*flags: str, fsync: bool = False) -> Client:
            options = {"fsync": fsync} if kind is Etcd else {}
            started = servers.enter_context(kind(tmp_path / f"{kind.name}{next(numbers)}", *flags, **options))
            client = Client(started)
            servers.callback(client.close)
            return client

        yield start


@pytest.fixture
def key() -> bytes:
    """A prefix that no other test uses; no key starts with it."""
    return b"conformance/%04d/" % next(_numbers)
