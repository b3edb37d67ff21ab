"""PINGs that are too many, and silence that is too long."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from brainctl.wire import frames
from brainctl.wire.events import Closed
from brainctl.wire.frames import ErrorCode
from brainctl.wire.keepalive import TOO_MANY_PINGS
from brainctl.wire.limits import Limits
from brainctl.wire.server import ServerConnection
from tests.peers.servers import Brainctl, Etcd
from tests.unit.server.running import running

LIMITS = Limits(ping_min_seconds=5, silence_seconds=60, ping_timeout_seconds=10)
PING = frames.ping(bytes(8))
PATH = "/etcdserverpb.Watch/Watch"
HEAD = b"\x83\x86\x04\x19/etcdserverpb.Watch/Watch\x0f\x10\x10application/grpc"
OPEN = frames.headers(1, HEAD, end_stream=False)


def server(*, stream: bool = False, limits: Limits = LIMITS) -> ServerConnection:
    connection = ServerConnection(frozenset({PATH}), limits)
    connection.receive(frames.PREFACE + frames.settings({}) + (OPEN if stream else b""))
    connection.take()
    return connection


def pings(connection: ServerConnection, count: int, ticks: int = 0) -> int:
    """How many PINGs a client may send, so many ticks apart, before it is cut off."""
    for sent in range(count):
        closed = [event for event in connection.receive(PING) if isinstance(event, Closed)]
        if closed:
            assert closed == [Closed(ErrorCode.ENHANCE_YOUR_CALM, TOO_MANY_PINGS)]
            return sent
        for _ in range(ticks):
            connection.tick()
    return count


@pytest.mark.parametrize(("stream", "ticks", "allowed"), [(False, 0, 3), (True, 0, 3), (False, 50, 3), (True, 3, 3)])
def test_i3_14_a_client_that_pings_too_often_is_sent_away(stream: bool, ticks: int, allowed: int) -> None:
    assert pings(server(stream=stream), 10, ticks) == allowed


@pytest.mark.parametrize(("stream", "ticks"), [(True, 5), (True, 30), (False, 7200)])
def test_i3_14_a_client_that_pings_as_often_as_it_may_is_not(stream: bool, ticks: int) -> None:
    assert pings(server(stream=stream, limits=Limits(ping_min_seconds=5)), 10, ticks) == 10


def test_who_is_answered_may_ping_each_time() -> None:
    connection = server(stream=True)
    for _ in range(100):
        connection.send(1, b"event")
        assert pings(connection, 1) == 1


def test_who_measures_the_connection_may_ping_each_time() -> None:
    """As grpc-go does: a PING for what has come, then the window that was used is given back, to the byte."""
    connection = server(stream=True)
    message = bytes(20_000)
    for _ in range(100):
        connection.send(1, message)
        assert pings(connection, 1) == 1
        size = len(message) + 5
        connection.receive(frames.window_update(0, size) + frames.window_update(1, size))


def test_who_reads_a_large_answer_may_ping_for_each_part() -> None:
    connection = server(stream=True)
    connection.send(1, bytes(1 << 20))
    for _ in range(10):
        connection.take()
        assert pings(connection, 1) == 1
        connection.receive(frames.window_update(0, frames.WINDOW) + frames.window_update(1, frames.WINDOW))


def test_nobody_is_sent_away_without_a_limit() -> None:
    assert pings(server(limits=Limits()), 1000) == 1000


def test_a_silent_client_is_asked_and_then_cut_off() -> None:
    connection = server(stream=True)
    assert not any(connection.tick() for _ in range(59))
    assert connection.tick()
    sent = connection.take()
    assert sent[3] == frames.PING
    assert not any(connection.tick() for _ in range(9))
    assert connection.tick()
    assert connection.closed


def test_a_client_that_answers_stays() -> None:
    connection = server(stream=True)
    for _ in range(5):
        for _ in range(60):
            connection.tick()
        connection.receive(frames.ping(connection.take()[-8:], ack=True))
    assert not connection.closed


@pytest.mark.parametrize("limits", [Limits(), Limits(silence_seconds=5), Limits(ping_timeout_seconds=5)])
def test_silence_without_a_limit_is_left_alone(limits: Limits) -> None:
    connection = server(limits=limits)
    assert not any(connection.tick() for _ in range(100_000))


def test_a_server_cuts_off_a_client_that_does_not_answer() -> None:
    async def scenario() -> None:
        limits = Limits(silence_seconds=3, ping_timeout_seconds=2)
        async with running(limits) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(frames.PREFACE + frames.settings({}))
            await reader.readuntil(frames.SETTINGS_ACK)
            for _ in range(5):
                for connection in tuple(served.server.connections):
                    connection.tick()
            received = b""
            with suppress(ConnectionResetError):
                received = await asyncio.wait_for(reader.read(), 120)
            assert received in (b"", frames.ping(b"alive?\0\0"))
            writer.close()

    asyncio.run(scenario())


@pytest.fixture(params=["brainctl", "etcd"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int]]:
    with (Brainctl if request.param == "brainctl" else Etcd)(tmp_path) as started:
        yield "127.0.0.1", started.port


@pytest.mark.parametrize("opened", [b"", OPEN], ids=["idle", "watching"])
def test_i3_14_the_words_are_those_of_etcd(address: tuple[str, int], opened: bytes) -> None:
    with socket.create_connection(address, timeout=120) as connection:
        connection.sendall(frames.PREFACE + frames.settings({}) + opened + PING * 4)
        received = b""
        while data := connection.recv(1 << 16):
            received += data
    assert received.endswith(ErrorCode.ENHANCE_YOUR_CALM.to_bytes(4) + TOO_MANY_PINGS.encode())


def test_i3_14_three_pings_are_let_in(address: tuple[str, int]) -> None:
    """The control: one less, and the connection goes on."""
    with socket.create_connection(address, timeout=120) as connection:
        connection.sendall(frames.PREFACE + frames.settings({}) + PING * 3)
        received = b""
        while received.count(frames.ping(bytes(8), ack=True)) < 3:
            data = connection.recv(1 << 16)
            assert data
            received += data
