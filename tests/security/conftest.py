"""The suites of this directory run against brainctl's node and against a real etcd, which proves the tests."""

from collections.abc import Iterator

import pytest

from tests.conftest import NewEtcd
from tests.support.rpc import Api, InProcess, Remote


@pytest.fixture(params=["brainctl", "etcd"])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """A server of the test's own, without users."""
    if request.param == "brainctl":
        node = InProcess()
        yield node
        node.close()
    else:
        new_etcd: NewEtcd = request.getfixturevalue("new_etcd")
        remote = Remote(new_etcd().endpoint)
        yield remote
        remote.close()
