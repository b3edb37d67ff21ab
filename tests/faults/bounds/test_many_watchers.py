"""A client that makes watchers without end: what they may take, and what is left to others."""

from pathlib import Path

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.watch_room import TOO_MANY
from tests.faults.bounds.test_memory import metric
from tests.peers.servers import Brainctl
from tests.support.rpc import Remote

MEMORY_BYTES = 1 << 20
KEY = bytes(30_000)
WATCHERS = 20
WATCH = "/etcdserverpb.Watch/Watch"


def test_one_stream_leaves_room_for_the_watchers_of_others(tmp_path: Path) -> None:
    with Brainctl(tmp_path, "--max-client-memory", str(MEMORY_BYTES)) as server:
        greedy, other = Remote(server.endpoint), Remote(server.endpoint)
        create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=KEY))
        for _ in range(3):  # what a stream held is free again after it
            answers = greedy.stream(WATCH, [create] * WATCHERS, WATCHERS)
            made = [not answer.canceled for answer in answers]
            assert made == [True] * 2 + [False] * (WATCHERS - 2)
            assert answers[-1].cancel_reason == TOO_MANY
            assert server.child is not None
            server.child.wait_until(lambda: metric(server, "etcd_debugging_mvcc_watcher_total") == 0)
        small = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"small"))
        assert other.stream(WATCH, [small], 1)[0].created
        assert metric(server, "brainctl_watchers_refused_total") == 3 * (WATCHERS - 2)
        assert "a watcher is refused" in server.child.output()
        for each in (greedy, other):
            each.close()
