"""kill -9 of a real server under eight writers, compaction and defragmentation; `make kill` runs a thousand."""

from pathlib import Path
from random import Random

import pytest

from brainctl.etcdpb import kv_pb2
from tests.faults.crash.server_kills import Kills, Writer

pytestmark = pytest.mark.crash


def test_nothing_is_lost_or_applied_twice(tmp_path: Path):
    kills = Kills(tmp_path, Random(1))
    for _ in range(4):
        before = kills.acknowledged
        kills.cycle()
        assert kills.acknowledged > before, "nothing was written, so the kill shows nothing"


@pytest.mark.parametrize(("number", "version"), [(2, 3), (3, 2), (3, 4), (4, 3)], ids=str)
def test_the_control_notices_a_lost_put_and_a_doubled_one(number: int, version: int):
    writer = Writer("w", puts={b"w/1": 3}, counted={b"w/1": 3}, sent={b"w/1": 3}, count=5, tried=6)
    counter = kv_pb2.KeyValue(value=b"5", version=5)
    writer.check({b"w/1": kv_pb2.KeyValue(value=b"3 x", version=3), b"w": counter})
    with pytest.raises(AssertionError, match="acknowledged"):
        writer.check({b"w/1": kv_pb2.KeyValue(value=b"%d x" % number, version=version), b"w": counter})


@pytest.mark.parametrize(("value", "version"), [(b"4", 4), (b"7", 7), (b"6", 7)])
def test_the_control_notices_a_lost_count_and_a_doubled_one(value: bytes, version: int):
    writer = Writer("w", count=5, tried=6)
    with pytest.raises(AssertionError, match="count"):
        writer.check({b"w": kv_pb2.KeyValue(value=value, version=version)})
