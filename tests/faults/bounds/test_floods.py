"""What a hostile client can make a server hold: bombs, floods, half-open handshakes. Others are served meanwhile."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from brainctl.errors import Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.wire import frames
from brainctl.wire.client import ClientConnection
from brainctl.wire.frames import ErrorCode
from tests.conformance.client import KV, Client, refused
from tests.faults.bounds.resident import Growth
from tests.peers.certificates import Authority
from tests.peers.servers import Brainctl
from tests.support.rpc import Remote

MIB = 1 << 20
BOMB_BYTES = 64 * MIB
COST_BYTES = 20 * MIB
ANSWERS = 500
HALF_OPEN = 300
HALF_OPEN_COST_BYTES = HALF_OPEN * (80 << 10)
"""Measured are 54 KiB each, most of them the buffers of OpenSSL. They are cut off after ten seconds."""
RESETS = 10_000
LARGE = pb.RangeRequest(key=b"large").SerializeToString()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Brainctl(tmp_path_factory.mktemp("server")) as server:
        client = Client(server)
        client.put(b"large", bytes(MIB))
        yield client
        client.close()


def connected(client: Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.server.port), timeout=120)


def test_a_bomb_is_refused_before_it_is_unpacked(client: Client) -> None:
    bomb = pb.PutRequest(key=b"a", value=bytes(BOMB_BYTES)).SerializeToString()
    put = client._channel.unary_unary(KV + "Put")
    with Growth(client.server.pid) as growth, pytest.raises(grpc.RpcError) as refusal:
        put(bomb, compression=grpc.Compression.Gzip, timeout=120)
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.value.details() == "grpc: received message after decompression larger than max 2097152"
    assert growth.most < COST_BYTES


def test_a_message_beyond_the_limit_is_not_gathered(client: Client) -> None:
    with Growth(client.server.pid) as growth:
        assert refused(client.put, b"a", bytes(BOMB_BYTES))[0] is Code.RESOURCE_EXHAUSTED
    assert growth.most < COST_BYTES


def test_answers_that_nobody_takes_are_not_made_without_end(client: Client) -> None:
    greedy = ClientConnection("test")
    greedy.core.out.append(frames.window_update(0, 1 << 30))
    with connected(client) as raw, Growth(client.server.pid) as growth:
        for _ in range(ANSWERS):
            greedy.request(KV + "Range", LARGE)
        raw.sendall(greedy.take())
        for _ in range(20):
            assert client.get(b"large").count == 1
    assert growth.most < ANSWERS * MIB / 4


def test_requests_that_are_taken_back_at_once_starve_nobody(client: Client) -> None:
    rapid = ClientConnection("test")
    with connected(client) as raw, Growth(client.server.pid) as growth:
        with suppress(ConnectionError):
            for _ in range(RESETS // 100):
                for _ in range(100):
                    rapid.core.out.append(frames.rst_stream(rapid.request(KV + "Range", LARGE), ErrorCode.CANCEL))
                raw.sendall(rapid.take())
                assert client.get(b"a").count == 0
        with suppress(ConnectionError):  # it is cut off, sooner or later
            while raw.recv(1 << 16):
                pass
    assert growth.most < COST_BYTES


def test_handshakes_that_do_not_end_cost_little(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    with (
        Brainctl(tmp_path / "server", authority=authority) as server,
        ExitStack() as held,
        Growth(server.pid) as growth,
    ):
        for _ in range(HALF_OPEN):
            raw = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=120))
            raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the start of a ClientHello
        client = Remote(f"localhost:{server.port}", credentials)
        assert client.call(KV + "Range", pb.RangeRequest(key=b"a")).count == 0
        client.close()
        open_files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    assert open_files > HALF_OPEN, "they were cut off already"
    assert growth.most < HALF_OPEN_COST_BYTES
