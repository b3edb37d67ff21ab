"""The server around its connections: addresses, pages over HTTP/1.1 and HTTP/2, signals."""

import asyncio
import errno
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from brainctl.errors import ExitCode, InvalidInput, ListenFailed
from brainctl.server.app import Server, serve
from brainctl.server.listen import both_families, parse_address
from brainctl.wire.http1 import HEAD_BYTES_MAX
from tests.unit.server.echo import EchoNode
from tests.unit.server.running import Running, running


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:2379", ("127.0.0.1", 2379)),
        ("localhost:0", ("localhost", 0)),
        (":2379", ("0.0.0.0", 2379)),
        ("[::1]:2379", ("::1", 2379)),
        ("http://127.0.0.1:2379", ("127.0.0.1", 2379)),
        ("https://127.0.0.1:2379/", ("127.0.0.1", 2379)),
    ],
)
def test_addresses(listen: str, expected: tuple[str, int]):
    assert parse_address(listen) == expected


@pytest.mark.parametrize("listen", ["", "127.0.0.1", "127.0.0.1:many", "127.0.0.1:70000", "http://h:1/path", "[::1"])
def test_what_is_no_address(listen: str):
    with pytest.raises(InvalidInput):
        parse_address(listen)


def test_a_port_in_use_is_one_sentence_with_its_own_exit_code():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenFailed, match=f"cannot listen at {address}: .*in use") as raised:
            asyncio.run(Server(EchoNode()).start(address))
        assert raised.value.exit_code == ExitCode.LISTEN


@pytest.mark.parametrize("listen", ["0.0.0.0:0", ":0", "[::]:0", "http://[::]:0"])
def test_every_address_is_that_of_both_families(listen: str):
    """A page that only this machine may see shows that an address of IPv4 is known as such."""

    async def run() -> list[bytes]:
        server = Server(EchoNode())
        port = int((await server.start(listen)).rpartition(":")[2])
        answers = []
        for address in ("127.0.0.1", "::1"):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"GET /debug/stages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers.append((await reader.readline()).split()[1])
            writer.close()
        await server.stop(0)
        return answers

    assert uvloop.run(run()) == [b"404", b"404"]


class NoAddress(socket.socket):
    """A socket of a kernel that was told to do without IPv6."""

    def bind(self, _address: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "cannot assign requested address")


def no_family(*_: int) -> socket.socket:
    """A kernel that was built without IPv6."""
    raise OSError(errno.EAFNOSUPPORT, "address family not supported by protocol")


@pytest.mark.parametrize("made", [NoAddress, no_family])
def test_without_ipv6_every_address_is_every_one_of_ipv4(
    made: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", made)
        assert both_families(0) is None
    control = both_families(0)
    assert control is not None
    control.close()


def on_edge(scenario: Callable[[Running], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running() as edge:
            await scenario(edge)

    uvloop.run(run())


async def talk(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def get(port: int, target: str, method: str = "GET") -> tuple[int, str, bytes]:
    answer = await talk(port, f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body


def test_pages():
    async def scenario(edge: Running) -> None:
        status, _, body = await get(edge.port, "/health?serializable=true")
        assert (status, json.loads(body)) == (200, {"health": "true", "reason": ""})
        status, _, body = await get(edge.port, "/version")
        assert (status, body) == (200, b'{"etcdserver":"3.7.0","etcdcluster":"3.7.0","storage":"3.7.0"}')
        assert (await get(edge.port, "/livez"))[::2] == (200, b"ok\n")
        assert (await get(edge.port, "/readyz?verbose&exclude=non_learner"))[::2] == (
            200,
            b"[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\nok\n",
        )
        assert (await get(edge.port, "/readyz/data_corruption"))[0] == 200
        assert b"etcd_mvcc_db_total_size_in_bytes 5.0\n" in (await get(edge.port, "/metrics"))[2]
        assert (await get(edge.port, "/nothing"))[0] == 404
        assert (await get(edge.port, "/health", "POST"))[0] == 405
        status, head, body = await get(edge.port, "/version", "HEAD")
        assert (status, body) == (200, b"")
        assert "Content-Length: 62" in head

    on_edge(scenario)


def test_requests_in_one_piece_are_answered_in_order():
    async def scenario(edge: Running) -> None:
        first = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await talk(edge.port, first + first + last)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.endswith(b'"storage":"3.7.0"}')

    on_edge(scenario)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nbad field\r\n\r\n", b"400"),
        (b"GET /\x7f HTTP/1.1\r\n\r\n", b"400"),
        (b"POST /health HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"POST /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", b"400"),
        (b"POST /health HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        ((b"GET / HTTP/1.1\r\nX: ".ljust(HEAD_BYTES_MAX + 1, b"x")), b"431"),
    ],
)
def test_malformed_requests_are_answered_and_closed(request_bytes: bytes, status: bytes):
    async def scenario(edge: Running) -> None:
        assert (await talk(edge.port, request_bytes)).startswith(b"HTTP/1.1 " + status)

    on_edge(scenario)


def test_what_is_not_http_is_closed_without_a_word():
    async def scenario(edge: Running) -> None:
        assert await talk(edge.port, b"\x16\x03\x01 hello\r\n\r\n") == b""

    on_edge(scenario)


@pytest.mark.parametrize("signals", [1, 2])
def test_signals_stop_the_server(signals: int):
    node = EchoNode()

    async def run() -> None:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.ensure_future(serve(node, "127.0.0.1:0", on_ready=ready.set_result, grace_seconds=60))
        address = await ready
        # A client that neither ends by itself nor answers the server's PING, so that draining alone does not end it.
        _, writer = await asyncio.open_connection(*address.split(":"))
        if signals == 2:
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            await writer.drain()
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
        async with asyncio.timeout(120):
            await serving
        writer.close()

    uvloop.run(run())
