"""Watchers that do not read: what they cost, and what they get when they read again."""

from pathlib import Path

from tests.conformance.client import Client
from tests.faults.bounds.load import write
from tests.faults.bounds.resident import Growth
from tests.faults.bounds.stalled import StalledWatcher
from tests.peers.servers import Brainctl
from tests.support.planted import with_fault

WATCHERS = 100
EACH_BYTES = 5 << 18
"""What one may cost: what is on its way to it. What it has missed waits in the log."""
OWN_BYTES = 60 << 20
"""What the server may take for the writes themselves."""
PUTS, PUT_BYTES = 400, 50_000


def stalled(server: Brainctl, number: int) -> list[StalledWatcher]:
    return [StalledWatcher(server.port, b"load/", b"load0") for _ in range(number)]


def test_they_cost_no_backlog_and_miss_nothing(tmp_path: Path) -> None:
    with Brainctl(tmp_path) as server:
        client, watchers = Client(server), stalled(server, WATCHERS)
        first = client.revision + 1
        with Growth(server.pid) as growth:
            last = write(client, PUTS, PUT_BYTES)
        assert growth.most < WATCHERS * EACH_BYTES + OWN_BYTES < WATCHERS * PUTS * PUT_BYTES / 5
        for watcher in watchers[:10]:
            assert watcher.revisions(last) == (list(range(first, last + 1)), 0)
        client.compact(last)
        for watcher in watchers[10:]:
            seen, compacted = watcher.revisions(last)
            assert seen == list(range(first, first + len(seen)))
            assert (len(seen) < PUTS / 2, compacted) == (True, last)
        for watcher in watchers:
            watcher.close()
        client.close()


def test_control_a_server_that_does_not_pause_them_grows_beyond_the_bound(tmp_path: Path) -> None:
    number = 10
    with with_fault("unpaused")(tmp_path) as server:
        client, watchers = Client(server), stalled(server, number)
        with Growth(server.pid) as growth:
            write(client, PUTS, PUT_BYTES)
        assert growth.most > number * EACH_BYTES + OWN_BYTES
        for watcher in watchers:
            watcher.close()
        client.close()
