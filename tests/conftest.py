"""Fixtures of all tests. Servers are real, on free loopback ports, and stopped when their scope ends."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import peers
from tests.peers.servers import Brainctl, Etcd, Playground
from tests.support.needs import markers_of
from tests.support.processes import describe, take_default_signals
from tests.support.tikv import cluster

NewEtcd = Callable[..., Etcd]
NewBrainctl = Callable[..., Brainctl]

take_default_signals()

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the test with what it needs of the machine, so that `-m "not tikv"` leaves it out."""
    for name in sorted(markers_of(item)):
        item.add_marker(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let `require` know the markers of the test, so that none can be missing."""
    peers.running = frozenset(marker.name for marker in item.iter_markers())
    try:
        return (yield)
    finally:
        peers.running = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a test that skips itself fails: everything must be there. What the user may not do (skipif: some
    tests need root, others must not have it) stays a skip. A failure shows the processes that the test had started.
    """
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("skipif") is None
    if skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped where CI=true: {report.longrepr}"
    if report.failed and (processes := describe()):
        report.sections.append(("processes below the test, and the end of their output", processes))
    return report


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """A real etcd shared by the tests of a worker: use keys of your own, compact nothing."""
    with Etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def new_etcd(tmp_path: Path) -> Iterator[NewEtcd]:
    """Start a real etcd of the test's own: new_etcd(*flags, fsync=False, data_dir=None)."""
    number = count()
    with ExitStack() as servers:

        def start(*flags: str, fsync: bool = False, data_dir: Path | None = None) -> Etcd:
            server = Etcd(tmp_path / f"etcd{next(number)}", *flags, fsync=fsync, data_dir=data_dir)
            return servers.enter_context(server)

        yield start


@pytest.fixture(scope="session")
def tikv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    """A TiKV cluster shared by the tests of a worker: use a prefix of your own."""
    with cluster(tmp_path_factory.mktemp("tikv")) as started:
        yield started


@pytest.fixture
def tikv_url(tikv: Playground, request: pytest.FixtureRequest) -> str:
    """A store URL on the TiKV cluster under a prefix that only this test uses."""
    return tikv.url(f"{abs(hash(request.node.nodeid)):x}")


@pytest.fixture(scope="session")
def brainctl_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brainctl]:
    """`brainctl serve` shared by the tests of a worker: use keys of your own, compact nothing."""
    with Brainctl(tmp_path_factory.mktemp("brainctl")) as server:
        yield server


@pytest.fixture
def new_brainctl(tmp_path: Path) -> Iterator[NewBrainctl]:
    """Start a `brainctl serve` of the test's own: new_brainctl(*flags, store=None)."""
    number = count()
    with ExitStack() as servers:

        def start(*flags: str, store: str | None = None) -> Brainctl:
            server = Brainctl(tmp_path / f"brainctl{next(number)}", *flags, store=store)
            return servers.enter_context(server)

        yield start
