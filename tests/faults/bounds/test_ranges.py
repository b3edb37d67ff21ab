"""Reading a large range: a stream of it costs little, one answer costs about its size."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import KV, Client
from tests.faults.bounds.load import fill
from tests.faults.bounds.resident import Growth
from tests.peers.servers import Brainctl

KEYS, VALUE_BYTES = 100_000, 1000
STREAM_BYTES = 64 << 20
"""What a stream may cost, whatever the size of the range."""
ALL = pb.RangeRequest(key=b"key/", range_end=b"key0")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    directory: Path = tmp_path_factory.mktemp("server")
    with Brainctl(directory) as server:
        client = Client(server)
        fill(client, KEYS, VALUE_BYTES)
        yield client
        client.close()


def test_a_stream_of_a_range_costs_little_and_has_every_key_once(client: Client) -> None:
    with Growth(client.server.pid) as growth:
        chunks = client.stream(KV + "RangeStream", [ALL], KEYS)
    keys = [kv.key for chunk in chunks for kv in chunk.range_response.kvs]
    assert keys == [b"key/%08d" % number for number in range(KEYS)]
    assert chunks[-1].range_response.count == KEYS
    assert growth.most < STREAM_BYTES


def test_control_one_answer_is_seen_to_cost_more(client: Client) -> None:
    with Growth(client.server.pid) as growth:
        assert len(client.call(KV + "Range", ALL).kvs) == KEYS
    assert STREAM_BYTES < growth.most < 4 * KEYS * VALUE_BYTES
