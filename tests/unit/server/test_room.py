"""Connections never take what the store needs: a client that opens too many loses those, and all else goes on."""

import asyncio
import os
import re
import resource
import socket
import ssl
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import uvloop

from brainctl.engine.vfs.filesystem import OsFileSystem
from brainctl.engine.vfs.spare_descriptors import SPARE
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.server import first_bytes
from brainctl.server.app import Server as App
from brainctl.server.tls.context import ServerTls, TlsOptions
from tests.peers.certificates import Authority
from tests.peers.process import accepts
from tests.peers.servers import Brainctl
from tests.support.rpc import Remote
from tests.unit.server.echo import EchoNode

LIMIT = 200
"""Descriptors that the server of this test may have."""


FIRST_BYTES = [b"", b"PRI", b"PRI * HTTP/2.0\r\n", b"GET /health HTTP/1.1\r\nX: "]
"""What clients begin to say, and never end."""


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


@pytest.mark.parametrize("first", FIRST_BYTES)
def test_connections_that_ask_for_nothing_keep_nobody_out(first: bytes, tmp_path: Path) -> None:
    with Limited(tmp_path) as server, ExitStack() as stack:
        remote = Remote(server.endpoint)
        stack.callback(remote.close)
        remote.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"k"))
        idle = [stack.enter_context(connection(server.port, first)) for _ in range(2 * LIMIT)]
        with socket.create_connection(("127.0.0.1", server.port), 120) as later:
            later.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert later.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        assert remote.call("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"k")).count == 1
        assert idle[-1].getsockname(), "they are still held"


def test_handshakes_in_progress_are_counted_and_closed_first(tmp_path: Path) -> None:
    """Without a count the process has no descriptor left, and answers nobody."""
    authority = Authority(tmp_path, "authority")
    with Limited(tmp_path / "server", authority=authority) as server, ExitStack() as stack:
        silent = [stack.enter_context(connection(server.port, b"\x16"[: turn % 2])) for turn in range(2 * LIMIT)]
        context = ssl.create_default_context(cafile=str(authority.file))
        with (
            socket.create_connection(("localhost", server.port), 120) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as sock,
        ):
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            page = b"".join(iter(lambda: sock.recv(1 << 16), b"")).decode()
        refused = re.search(r"^brainctl_connections_refused_total (.+)$", page, re.MULTILINE)
        assert refused is not None
        assert float(refused[1]) >= LIMIT
        assert len(os.listdir(f"/proc/{server.pid}/fd")) < LIMIT  # noqa: PTH208
        assert silent[-1].getsockname(), "they are still held"


def test_a_handshake_has_a_limit_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("server")
    monkeypatch.setattr(first_bytes, "HANDSHAKE_SECONDS", 0.1)

    async def scenario() -> None:
        server = App(EchoNode())
        address = await server.start("127.0.0.1:0", ServerTls(TlsOptions(str(certificate), str(key))))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 120) == b""
        writer.close()
        await server.stop(60)

    uvloop.run(scenario())
    asyncio.run(scenario())


def connection(port: int, first: bytes) -> socket.socket:
    """Return a connection that says `first`, if the server has not closed it yet."""
    sock = socket.create_connection(("127.0.0.1", port))
    with suppress(OSError):
        sock.sendall(first)
    return sock


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
