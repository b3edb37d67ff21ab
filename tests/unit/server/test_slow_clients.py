"""Clients that do not read, do not speak, or do not end: what they hold stays bounded."""

import asyncio
import socket

from brainctl.server.first_bytes import FirstBytes
from brainctl.server.http1 import IDLE_SECONDS, Http1Protocol
from brainctl.server.http2.connection import WRITE_BYTES, Http2Protocol
from brainctl.wire import frames
from brainctl.wire.client import LIMITS, ClientConnection
from brainctl.wire.events import Ended
from brainctl.wire.limits import Limits
from tests.unit.server import echo
from tests.unit.server.running import Running, running

EVENT_BYTES = 10_000


def greedy_client() -> ClientConnection:
    """A client whose flow-control windows never hold anything back."""
    client = ClientConnection("test")
    client.core.out.append(frames.window_update(0, 1 << 30))
    return client


async def turn(edge: Running) -> None:
    """Let the server do what it can now: another client's call is served after everything that was ready before."""
    for _ in range(20):
        await edge.unary(echo.LATE, b"")


def test_a_watcher_whose_socket_is_full_is_paused_whatever_its_windows():
    async def scenario() -> None:
        async with running() as edge:
            client = greedy_client()
            reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1)
            client.send(client.open(echo.WATCH), b"events 10000 %d" % EVENT_BYTES)
            writer.write(client.take())
            await turn(edge)
            session = edge.node.sessions[0]
            assert session.pauses
            sent = (10_000 - session._left) * EVENT_BYTES
            assert sent < 20 * WRITE_BYTES  # the buffers of the two sockets, and ours
            got = 0
            while got < 10_000 * EVENT_BYTES:  # it goes on when it is read
                got += len(await reader.read(1 << 20))
            assert session._left == 0
            writer.close()

    asyncio.run(scenario())


def test_a_client_that_asks_without_reading_is_not_read_from():
    async def scenario() -> None:
        async with running() as edge:
            client = greedy_client()
            loop = asyncio.get_running_loop()
            with socket.create_connection(("127.0.0.1", edge.port)) as raw:
                raw.setblocking(False)
                asked = 0
                for _ in range(200):
                    for _ in range(5):
                        client.request(echo.LARGE, b"100000")
                    try:
                        async with asyncio.timeout(0.2):
                            await loop.sock_sendall(raw, client.take())
                    except TimeoutError:
                        break
                    asked += 5
                await turn(edge)
                buffered = [
                    protocol._outgoing.transport.get_write_buffer_size()
                    for protocol in edge.server.connections
                    if isinstance(protocol, Http2Protocol)
                ]
                assert asked == 1000  # small enough for the socket's own buffer
                assert max(buffered) < 100_000 * 1000 / 4

    asyncio.run(scenario())


def test_answers_that_flow_control_holds_back_are_not_made_without_end():
    limits = Limits(queue_bytes=1_000_000)

    async def scenario() -> None:
        async with running(limits) as edge:
            client = ClientConnection("test", limits=LIMITS._replace(window_bytes=70_000))
            reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
            for _ in range(200):
                client.request(echo.LARGE, b"100000")
            writer.write(client.take())
            await turn(edge)
            protocols = [p for p in edge.server.connections if isinstance(p, Http2Protocol)]
            assert 1_000_000 < max(p._connection.queued_bytes for p in protocols) < 1_000_000 + 2 * WRITE_BYTES
            answers = 0
            while answers < 200:
                events = client.receive(await reader.read(1 << 20))
                answers += sum(isinstance(event, Ended) and event.message == bytes(100_000) for event in events)
                writer.write(client.take())
            writer.close()

    asyncio.run(scenario())


def test_silent_connections_are_closed_after_a_while():
    async def scenario() -> None:
        async with running() as edge:
            silent = await asyncio.open_connection("127.0.0.1", edge.port)
            slow = await asyncio.open_connection("127.0.0.1", edge.port)
            slow[1].write(b"GET /health HTTP/1.1\r\nX: ")
            await turn(edge)
            kinds = sorted(type(protocol).__name__ for protocol in edge.server.connections)
            assert kinds == ["FirstBytes", "Http1Protocol", "Http2Protocol"]
            for _ in range(IDLE_SECONDS + 1):
                for protocol in edge.server.connections:
                    protocol.tick()
            await turn(edge)
            assert not [p for p in edge.server.connections if isinstance(p, FirstBytes | Http1Protocol)]
            for _, writer in (silent, slow):
                writer.close()

    asyncio.run(scenario())
