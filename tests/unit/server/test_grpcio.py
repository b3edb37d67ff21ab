"""A real gRPC client (grpcio) against the edge."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import pytest

from brainctl.errors import COMPACTED
from brainctl.wire.limits import Limits
from tests.unit.server import echo
from tests.unit.server.running import Running, running


def on_edge(scenario: Callable[[Running], Awaitable[None]], limits: Limits | None = None) -> None:
    async def run() -> None:
        async with running(limits) as edge:
            await scenario(edge)

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until something holds."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the node, which knows no events
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("path", [echo.RANGE, echo.LATE])
def test_many_calls_at_once(path: str):
    async def scenario(edge: Running) -> None:
        bodies = [b"%d" % number * (number % 50) for number in range(500)]
        assert await asyncio.gather(*(edge.unary(path, body) for body in bodies)) == bodies

    on_edge(scenario)


def test_large_messages_both_ways():
    async def scenario(edge: Running) -> None:
        body = bytes(range(256)) * 4096
        assert await edge.unary(echo.PUT, body) == body
        assert await edge.unary(echo.LARGE, b"5000000") == bytes(5_000_000)
        answers = await asyncio.gather(*(edge.unary(echo.LARGE, b"3000000") for _ in range(5)))
        assert [len(answer) for answer in answers] == [3_000_000] * 5

    on_edge(scenario)


def test_large_metadata():
    async def scenario(edge: Running) -> None:
        for metadata in ([("large", "x" * 100_000)], [(f"many-{number}", "x") for number in range(2000)]):
            assert await edge.unary(echo.PUT, b"body", metadata=metadata, timeout=60) == b"body"

    on_edge(scenario)


def test_gzip_requests():
    async def scenario(edge: Running) -> None:
        assert await edge.unary(echo.PUT, bytes(100_000), compression=grpc.Compression.Gzip) == bytes(100_000)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await edge.unary(echo.PUT, bytes(100_000), compression=grpc.Compression.Deflate)
        assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED

    on_edge(scenario)


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        (echo.COMPACT, b"", grpc.StatusCode.OUT_OF_RANGE, COMPACTED.message),
        (echo.UNKNOWN_OUTCOME, b"", grpc.StatusCode.UNAVAILABLE, "the change may or may not have happened"),
        (echo.BROKEN, b"", grpc.StatusCode.INTERNAL, "internal error; the server's log has more"),
        ("/other.Service/Call", b"", grpc.StatusCode.UNIMPLEMENTED, "unknown service other.Service"),
        ("/noslash", b"", grpc.StatusCode.UNIMPLEMENTED, 'malformed method name: "/noslash"'),
        (
            echo.PUT,
            bytes(2 * 1024 * 1024 + 1),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (2097153 vs. 2097152)",
        ),
    ],
)
def test_failures(path: str, body: bytes, code: grpc.StatusCode, text: str):
    async def scenario(edge: Running) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await edge.unary(path, body)
        assert (failed.value.code(), failed.value.details()) == (code, text)
        assert await edge.unary(echo.RANGE, b"the connection goes on") == b"the connection goes on"

    on_edge(scenario)


def test_a_deadline_ends_a_call_whose_answer_comes_too_late():
    async def scenario(edge: Running) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await edge.unary(echo.NEVER, b"", timeout=0.05)
        assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        edge.node.held.pop()(b"too late")
        assert await edge.unary(echo.RANGE, b"fine", timeout=60) == b"fine"

    on_edge(scenario)


def test_a_watch_stream():
    async def scenario(edge: Running) -> None:
        call = edge.channel.stream_stream(echo.WATCH)()
        for body in (b"one", b"", b"x" * 100_000):
            await call.write(body)
            assert await call.read() == body
        await call.done_writing()
        assert not call.done()
        call.cancel()
        await until(lambda: edge.node.sessions[0].closed)

    on_edge(scenario)


def test_a_watch_stream_that_fails():
    async def scenario(edge: Running) -> None:
        call = edge.channel.stream_stream(echo.WATCH)()
        await call.write(b"fail")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert failed.value.details() == COMPACTED.message
        assert edge.node.sessions[0].closed

    on_edge(scenario)


def test_a_watcher_that_does_not_read_pauses_its_session_and_goes_on_later():
    async def scenario(edge: Running) -> None:
        call = edge.channel.stream_stream(echo.WATCH)()
        await call.write(b"events 3000 10000")
        await until(lambda: edge.node.sessions and edge.node.sessions[0].pauses)
        assert await edge.unary(echo.RANGE, b"others are served") == b"others are served"
        for _ in range(3000):
            assert await call.read() == bytes(10_000)
        call.cancel()

    on_edge(scenario)


def test_keep_alives_are_answered_and_the_stream_ends_after_the_last():
    async def scenario(edge: Running) -> None:
        call = edge.channel.stream_stream(echo.KEEP_ALIVE)(iter([b"1", b"2", b"3"]))
        assert [answer async for answer in call] == [b"1", b"2", b"3"]
        assert await call.code() == grpc.StatusCode.OK

    on_edge(scenario)


def test_a_snapshot_goes_no_faster_than_its_reader():
    async def scenario(edge: Running) -> None:
        stub = edge.channel.unary_stream(echo.SNAPSHOT)
        assert sum([len(part) async for part in stub(b"")]) == 64 * 256 * 1024
        edge.node.snapshots = 0
        call = stub(b"")
        await call.read()
        await until(lambda: edge.node.snapshots > 1)
        call.cancel()

    on_edge(scenario)


def test_the_same_client_survives_a_limit_on_concurrent_calls():
    async def scenario(edge: Running) -> None:
        bodies = [b"%d" % number for number in range(300)]
        assert await asyncio.gather(*(edge.unary(echo.LATE, body) for body in bodies)) == bodies

    on_edge(scenario, Limits(streams=4))


def test_stopping_ends_streams_and_finishes_calls():
    async def scenario(edge: Running) -> None:
        call = edge.channel.stream_stream(echo.WATCH)()
        await call.write(b"hello")
        await call.read()
        held = asyncio.ensure_future(edge.unary(echo.NEVER, b""))
        await until(lambda: edge.node.held)
        stopping = asyncio.ensure_future(edge.server.stop(grace_seconds=5))
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert (failed.value.code(), failed.value.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "etcdserver: server stopped",
        )
        assert not stopping.done()
        edge.node.held.pop()(b"answered in time")
        assert await held == b"answered in time"
        await stopping
        assert not edge.server.connections

    on_edge(scenario)
