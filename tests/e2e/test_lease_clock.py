"""Leases of a real server go by time that passes: not by the wall clock, and not by a process that was stopped."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.servers import Brainctl
from tests.support.rpc import Remote

TTL = 3
GRANT, LIVE, PUT = "/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.Lease/LeaseTimeToLive", "/etcdserverpb.KV/Put"
WATCH, KEEP = "/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"
SHIFTED = """
import sys, time
from pathlib import Path
real, shift = time.time, Path(sys.argv.pop(1))
time.time = lambda: real() + float(shift.read_text())
from brainctl.cli.main import main
main()
"""


class Shifted(Brainctl):
    """A server whose wall clock is off by the number of seconds in a file."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.shift = directory / "shift"
        self.set(0)

    def set(self, seconds: float) -> None:
        new = self.shift.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self.shift)

    def argv(self) -> list[str]:
        python, _, _, *rest = super().argv()
        return [python, "-c", SHIFTED, str(self.shift), *rest]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Shifted]:
    with Shifted(tmp_path) as server:
        yield server


def grant(api: Remote, lease: int) -> float:
    """A lease with a key; when it was asked for."""
    began = time.monotonic()
    api.call(GRANT, pb.LeaseGrantRequest(ID=lease, TTL=TTL))
    api.call(PUT, pb.PutRequest(key=b"k%d" % lease, lease=lease))
    return began


def gone(api: Remote, lease: int) -> float:
    """When a lease is seen to be gone; it must have been there until then."""
    while api.call(LIVE, pb.LeaseTimeToLiveRequest(ID=lease)).TTL >= 0:
        time.sleep(0.02)
    return time.monotonic()


def deletes(api: Remote, revision: int) -> list[bytes]:
    """The keys whose deletion a watch from a revision on shows, up to the deletion of k9."""
    api.call(PUT, pb.PutRequest(key=b"k9"))
    api.call("/etcdserverpb.KV/DeleteRange", pb.DeleteRangeRequest(key=b"k9"))
    create = pb.WatchCreateRequest(key=b"k", range_end=b"l", start_revision=revision, filters=[0])
    found: list[bytes] = []
    for response in api.stream(WATCH, [pb.WatchRequest(create_request=create)], 2):
        found += [event.kv.key for event in response.events]
    return found


@pytest.mark.parametrize("jump", [86_400, -86_400, 3600])
def test_a_jump_of_the_wall_clock_ends_no_lease_and_saves_none(server: Shifted, jump: int) -> None:
    api = Remote(server.endpoint)
    began = grant(api, 1)
    server.set(jump)
    assert gone(api, 1) - began >= TTL
    assert deletes(api, 1) == [b"k1", b"k9"]
    api.close()


def test_time_in_which_a_server_was_stopped_is_not_counted(server: Shifted) -> None:
    api = Remote(server.endpoint)
    began = grant(api, 1)
    server.child.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    time.sleep(TTL + 0.5)  # the time that the test is about
    server.child.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    (answer,) = api.stream(KEEP, [pb.LeaseKeepAliveRequest(ID=1)], 1)
    assert answer.TTL == TTL
    assert gone(api, 1) - began >= 2 * TTL
    assert deletes(api, 1) == [b"k1", b"k9"]
    api.close()


def test_a_restart_gives_the_whole_time_again(server: Shifted) -> None:
    api = Remote(server.endpoint)
    grant(api, 1)
    api.close()
    server.kill()
    server.set(86_400)
    began = time.monotonic()
    server.start()
    api = Remote(server.endpoint)
    assert gone(api, 1) - began >= TTL
    assert deletes(api, 1) == [b"k1", b"k9"]
    api.close()
