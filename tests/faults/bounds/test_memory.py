"""What many connections together can make a server hold: requests, answers that nobody reads."""

import re
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from brainctl.errors import Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.wire import frames
from brainctl.wire.client import ClientConnection
from brainctl.wire.events import Ended
from tests.conformance.client import KV, Client
from tests.faults.bounds.load import fill
from tests.faults.bounds.resident import Growth
from tests.peers.servers import Brainctl

MIB = 1 << 20
LIMIT_BYTES = 16 * MIB
COST_BYTES = 160 * MIB
"""The limit, the answers that are being made, which are several times as large in JSON, and what malloc keeps. Without
the limit the answers come to 1 GiB."""
CONNECTIONS = 40
PART = bytes(MIB)
"""Of a request that may have a little more than twice this."""
WRITERS, PUTS = 8, 4
"""They write more than a quarter of the lower limit, and less than a quarter of the higher one."""
KEYS, VALUE_BYTES = 2000, 2000
"""More keys than one turn of the event loop reads, so that a range is not answered before the next is begun."""
RANGE = pb.RangeRequest(key=b"key/", range_end=b"key0").SerializeToString()
PAGE = b'{"key":"a2V5Lw==","range_end":"a2V5MA=="}'
POST = b"POST /v3/kv/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def unfinished_calls() -> bytes:
    """Two puts that lack their end."""
    client = ClientConnection("test")
    client.core.out.append(frames.settings({}))
    client.sender.window = client.core.streams.initial_window = 1 << 30  # what the server grants is more than is sent
    for _ in range(2):
        stream_id = client.open(KV + "Put")
        client.sender.data(stream_id, client.core.streams.stateful(stream_id), (len(PART) + 10).to_bytes(5), PART)
    return client.take()


def unread_answers() -> bytes:
    """Ranges of a client whose windows let everything out."""
    client = ClientConnection("test")
    client.core.out.append(frames.window_update(0, 1 << 30))
    for _ in range(8):
        client.request(KV + "Range", RANGE)
    return client.take()


def unfinished_pages() -> bytes:
    """A put over the JSON gateway that lacks its end."""
    return POST % (b"put", 2 * len(PART)) + PART + PART[:-1]


def unread_pages() -> bytes:
    """A range over the JSON gateway."""
    return (POST % (b"range", len(PAGE)) + PAGE) * 2


ATTACKS = (unfinished_calls, unread_answers, unfinished_pages, unread_pages)


def metric(server: Brainctl, name: str) -> int:
    with urllib.request.urlopen(f"http://{server.endpoint}/metrics", timeout=60) as page:
        found = re.search(rf"^{name} (\S+)$", page.read().decode(), re.MULTILINE)
    assert found is not None, name
    return int(float(found[1]))


@pytest.fixture(scope="module", params=[LIMIT_BYTES, 1 << 30], ids=["bounded", "control"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, bool]]:
    with Brainctl(tmp_path_factory.mktemp("server"), "--max-client-memory", str(request.param)) as server:
        client = Client(server)
        fill(client, KEYS, VALUE_BYTES)
        yield client, request.param == LIMIT_BYTES
        client.close()


def refusals(server: Brainctl) -> int:
    return metric(server, "brainctl_memory_refused_total") + metric(server, "brainctl_gateway_refused_total")


@pytest.mark.parametrize("attack", ATTACKS)
def test_connections_together_hold_no_more_than_is_allowed(
    client: tuple[Client, bool], attack: Callable[[], bytes]
) -> None:
    other, bounded = client
    server = other.server
    assert isinstance(server, Brainctl)
    assert server.child is not None
    before = refusals(server)
    data = attack()
    with ExitStack() as held, Growth(server.pid) as growth:
        for _ in range(CONNECTIONS):
            raw = held.enter_context(socket.socket())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
            raw.settimeout(120)
            raw.connect(("127.0.0.1", server.port))
            with suppress(ConnectionError):
                raw.sendall(data)
            assert other.get(b"other").count == 0
        other.put(b"written", b"1")
        if bounded:
            server.child.wait_until(lambda: refusals(server) > before)
            assert metric(server, "brainctl_memory_held_bytes") <= LIMIT_BYTES
            assert "connections that hold the most memory are closed" in server.child.output()
        else:
            server.child.wait_until(lambda: metric(server, "brainctl_memory_held_bytes") > 2 * LIMIT_BYTES)
            assert metric(server, "brainctl_memory_refused_total") == 0
    if bounded:
        assert growth.most < COST_BYTES


def test_requests_beyond_what_may_be_in_flight_wait_and_are_answered(client: tuple[Client, bool]) -> None:
    other, bounded = client
    server = other.server
    assert isinstance(server, Brainctl)
    before = metric(server, "brainctl_requests_delayed_total")
    body = pb.PutRequest(key=b"large", value=PART).SerializeToString()
    version = other.put(b"large", b"").header.revision
    with ExitStack() as held:
        writers: list[tuple[socket.socket, ClientConnection]] = []
        for _ in range(WRITERS):
            writer = ClientConnection("test")
            writer.sender.window = writer.core.streams.initial_window = 1 << 30
            for _ in range(PUTS):
                writer.request(KV + "Put", body)
            raw = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=120))
            writers.append((raw, writer))
            raw.sendall(writer.take())
        assert other.get(b"large").count == 1
        for raw, writer in writers:
            answered = 0
            while answered < PUTS:
                events = writer.receive(raw.recv(1 << 16))
                answered += sum(isinstance(event, Ended) and event.code == Code.OK for event in events)
    assert other.get(b"large").kvs[0].mod_revision == version + WRITERS * PUTS
    assert (metric(server, "brainctl_requests_delayed_total") > before) == bounded
