"""Connections never take what the store needs: a client that opens too many loses those, and all else goes on."""

import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.engine.vfs.spare_descriptors import SPARE
from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.process import accepts
from tests.peers.servers import Brainctl
from tests.support.rpc import Remote

LIMIT = 200
"""Descriptors that the server of this test may have."""


class Limited(Brainctl):
    """A server with few descriptors."""

    def argv(self) -> list[str]:
        return ["sh", "-c", f'ulimit -n {LIMIT} && exec "$@"', "sh", *super().argv()]


def test_too_many_connections_are_closed_and_the_store_goes_on(tmp_path: Path) -> None:
    with Limited(tmp_path) as server, ExitStack() as stack:
        remote = Remote(server.endpoint)
        stack.callback(remote.close)
        remote.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"k"))
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(2 * LIMIT)]
        closed = 0
        for sock in idle:
            sock.settimeout(0.001)
            try:
                closed += sock.recv(1) == b""
            except TimeoutError:
                pass
            except ConnectionResetError:
                closed += 1
        assert closed >= LIMIT
        large = b"v" * (1 << 20)
        for number in range(80):  # more than a segment, so that files are opened and mapped
            remote.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"%d" % number, value=large))
        remote.call("/etcdserverpb.Maintenance/Defragment", pb.DefragmentRequest())
        open_now = os.listdir(f"/proc/{server.pid}/fd")  # noqa: PTH208
        assert len(open_now) < LIMIT
        for sock in idle:
            sock.close()
        assert server.child is not None
        server.child.wait_until(lambda: "connections are accepted again" in server.child.output())  # type: ignore[union-attr]
        assert "no more connections are accepted" in server.child.output()
        assert accepts(server.port)
        again = Remote(server.endpoint)
        stack.callback(again.close)
        assert again.call("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"k")).count == 1


def test_files_of_the_store_open_when_no_descriptor_is_left(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fs = OsFileSystem()
    taken: list[int] = []
    SPARE.keep(4)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, hard))  # noqa: PTH208
        with pytest.raises(OSError, match="Too many open files"):
            taken.extend(iter(lambda: os.open(os.devnull, os.O_RDONLY), -1))
        file = fs.create(str(tmp_path / "a"))
        file.write(b"x" * 4096, 0)
        mapped = file.map()
        fs.sync_directory(str(tmp_path))
        assert mapped[:1] == b"x"
        mapped.close()
        file.close()
        fs.open(str(tmp_path / "a")).close()
        assert SPARE.used >= 3
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        SPARE.drop()


def test_the_soft_limit_is_raised(tmp_path: Path) -> None:
    class Soft(Brainctl):
        def argv(self) -> list[str]:
            return ["sh", "-c", 'ulimit -Sn 100 && exec "$@"', "sh", *super().argv()]

    with Soft(tmp_path) as server:
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert soft == hard > 100
