"""A client that begins many snapshots and reads none: what it takes of the disk, and what others notice."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from brainctl.node.services.maintenance.snapshot_room import AT_ONCE
from brainctl.wire.client import LIMITS, ClientConnection
from brainctl.wire.events import Ended
from tests.conformance.client import Client
from tests.peers.servers import Brainctl

SNAPSHOTS = 30
VALUE = bytes(1 << 20)


def temporary_files(server: Brainctl) -> int:
    """Count the open files that have no name any more."""
    found = 0
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found += os.readlink(link).endswith("(deleted)")  # noqa: PTH115
    return found


def test_few_of_them_are_made_and_the_store_goes_on(tmp_path: Path) -> None:
    with Brainctl(tmp_path) as server:
        client = Client(server)
        for number in range(3):
            client.put(b"large%d" % number, VALUE)
        greedy = ClientConnection("test", limits=LIMITS._replace(window_bytes=1 << 16, message_bytes=1 << 16))
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as raw:
            for _ in range(SNAPSHOTS):
                greedy.request("/etcdserverpb.Maintenance/Snapshot", b"")
            raw.sendall(greedy.take())
            refused = 0
            while refused < SNAPSHOTS - AT_ONCE:
                refused += sum(isinstance(event, Ended) for event in greedy.receive(raw.recv(1 << 16)))
            client.put(b"a", b"1")
            assert client.get(b"a").count == 1
            assert temporary_files(server) <= 2 * AT_ONCE
            assert server.child is not None
            assert 'a snapshot is refused error="brainctl: 4 snapshots' in server.child.output()
        server.child.wait_until(lambda: temporary_files(server) == 0)
        client.close()
