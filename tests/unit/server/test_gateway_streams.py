"""Streams of the gateway on a connection: clients that go away, that do not read, that come over HTTP/2; stopping."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import hpack
import pytest
import uvloop

from brainctl.wire import frames
from tests.unit.server.echo import PUT, RANGE, EchoNode
from tests.unit.server.running import Running, running

ASK = b'{"progress_request": {}}'
"""What the echo node answers with reads as an empty response."""


def on_edge(scenario: Callable[[Running], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running() as edge, asyncio.timeout(120):
            await scenario(edge)

    uvloop.run(run())


def post(path: str, body: bytes, *fields: str, version: str = "1.1") -> bytes:
    head = [f"POST {path} HTTP/{version}", "Host: localhost", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(0.005)


def closed(node: EchoNode) -> bool:
    return bool(node.sessions) and all(session.closed for session in node.sessions)


def test_a_watch_ends_with_its_client():
    async def scenario(edge: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(post("/v3/watch", ASK))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        await reader.readline()  # the length of the chunk
        assert json.loads(await reader.readline()) == {"result": {}}
        assert not closed(edge.node)
        writer.transport.abort()
        await until(lambda: closed(edge.node))
        assert edge.server.handlers.calls.of("/etcdserverpb.Watch/Watch").failed == {1: 1}

    on_edge(scenario)


def test_old_clients_get_the_lines_without_chunks():
    async def scenario(edge: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(post("/v3/lease/keepalive", b'{"ID": 1} {"ID": 2}', version="1.0"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"Transfer-Encoding" not in head
        assert [set(json.loads(line)) for line in body.splitlines()] == [{"result"}, {"result"}]
        writer.close()

    on_edge(scenario)


def test_a_client_that_does_not_read_pauses_its_stream():
    async def scenario(edge: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=2**12)
        writer.write(post("/v3/watch", ASK))
        await reader.readuntil(b"\r\n\r\n")
        session = edge.node.sessions[0]
        # Empty responses of the echo node are lines of 20 bytes: far more of them than socket buffers hold.
        session.receive(b"events 1000000 0")
        await until(lambda: session.pauses > 0)
        assert session._left > 100_000
        writer.transport.abort()
        await until(lambda: closed(edge.node))

    on_edge(scenario)


def test_stopping_ends_streams():
    async def scenario(edge: Running) -> None:
        stream, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(post("/v3/watch", ASK))
        await stream.readuntil(b"\r\n\r\n")
        stopping = asyncio.ensure_future(edge.server.stop(20))
        assert (await stream.read()).endswith(b"0\r\n\r\n")
        writer.close()
        await stopping
        assert closed(edge.node)

    on_edge(scenario)


def test_large_bodies_are_asked_for_and_bounded():
    async def scenario(edge: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        request = post("/v3/kv/range", b"{}" + bytes(3_000_000).replace(b"\0", b" "), "Expect: 100-continue")
        head, _, body = request.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.write(b"POST /v3/kv/range HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n")
        assert b"413" in await reader.read()
        writer.close()

    on_edge(scenario)


class Http2:
    """As much of a client of HTTP/2 as a request takes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = hpack.Decoder()
        self._stream = -1
        writer.write(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0))

    def post(self, path: str, body: bytes, authority: str = "localhost", **more: str) -> int:
        self._stream += 2
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", authority)]
        fields += [(name.replace("_", "-"), value) for name, value in more.items()]
        block = hpack.Encoder().encode(fields)
        self._writer.write(frames.frame(frames.HEADERS, frames.END_HEADERS, self._stream, block))
        self._writer.write(frames.frame(frames.DATA, frames.END_STREAM, self._stream, body))
        return self._stream

    def reset(self, stream: int) -> None:
        self._writer.write(frames.frame(frames.RST_STREAM, 0, stream, (8).to_bytes(4)))

    async def head(self) -> dict[str, str]:
        _, block = await self._next(frames.HEADERS)
        return {str(name): str(value) for name, value in self._decoder.decode(block)}

    async def data(self) -> tuple[bool, bytes]:
        """Whether it is the last, and what it is."""
        flags, payload = await self._next(frames.DATA)
        return bool(flags & frames.END_STREAM), payload

    async def _next(self, wanted: int) -> tuple[int, bytes]:
        while True:
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:3]))
            if head[3] == wanted:
                return head[4], payload


def test_calls_and_streams_over_http2():
    async def scenario(edge: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        client = Http2(reader, writer)
        client.post("/v3/kv/range", b"{}")
        head = await client.head()
        assert (head[":status"], head["content-type"]) == ("200", "application/json")
        assert (await client.data())[1] == b"{}"
        watch = client.post("/v3/watch", ASK)
        assert (await client.head())[":status"] == "200"
        assert await client.data() == (False, b'{"result":{}}\n')
        client.reset(watch)
        await until(lambda: closed(edge.node))
        client.post("/v3/kv/range", b"{}", authority="etcd.example")
        assert (await client.head())[":status"] == "200"
        client.post("/v3/kv/range", b"{}", authority="rebound.example", origin="http://rebound.example")
        assert (await client.head())[":status"] == "421"
        writer.close()

    on_edge(scenario)


GRPC = {"content_type": "application/grpc", "te": "trailers"}


@pytest.mark.parametrize("timeout", ["0n", "999n", "0S"])
@pytest.mark.parametrize("path", [RANGE, PUT, "/etcdserverpb.Watch/Watch"])
def test_a_call_whose_time_is_over_at_its_beginning_is_not_begun(path: str, timeout: str):
    async def scenario(edge: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        client = Http2(reader, writer)
        client.post(path, bytes(5), grpc_timeout=timeout, **GRPC)
        assert (await client.head())["grpc-status"] == "4"
        assert not edge.node.credentials, "the node has seen it"
        assert not edge.node.sessions, "the node has a stream of it"
        client.post(RANGE, bytes(5), grpc_timeout="1H", **GRPC)
        assert "grpc-status" not in await client.head(), "control"
        writer.close()

    on_edge(scenario)


@pytest.mark.parametrize("body", [b'{"a":' * 100_000, b"[" * 100_000, b'{"limit": 1' + b"0" * 100_000 + b"}"])
def test_bodies_that_are_deep_or_long_are_refused(body: bytes):
    async def scenario(edge: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(post("/v3/kv/txn", body, "Connection: close"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()

    on_edge(scenario)
