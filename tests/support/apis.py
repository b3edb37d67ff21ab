"""Suites that use `api` run against a node, a `brainctl serve` and a real etcd, which proves the tests."""

from collections.abc import Iterator

import pytest

from tests.peers.servers import Brainctl, Etcd
from tests.support.rpc import Api, InProcess, Remote


@pytest.fixture(scope="module", params=["node", "brainctl", "etcd"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that the tests of a module share; the first one adds the users."""
    if request.param == "node":
        node = InProcess()
        yield node
        node.close()
        return
    server = (Brainctl if request.param == "brainctl" else Etcd)(tmp_path_factory.mktemp(request.param))
    with server:
        remote = Remote(server.endpoint)
        yield remote
        remote.close()
