"""check perf and check datascale."""

import json
from pathlib import Path

import pytest

from brainctl.client.load import Count, Figures, Rate
from brainctl.commands.check.load import verdict
from tests.peers.servers import Brainctl, Etcd, brainctl, etcdctl


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def figures(writes: int, seconds: float, *took: float) -> Figures:
    found = Figures()
    for number in range(writes):
        found.add(took[number % len(took)])
    found.seconds = seconds
    return found


def test_slots_come_at_their_rate_and_are_not_made_up_for() -> None:
    clock = Clock()
    rate = Rate(10, 1.0, clock)
    assert [rate(), rate(), rate()] == pytest.approx([0.0, 0.1, 0.2])
    clock.now += 0.75
    assert [rate(), rate()] == pytest.approx([0.0, 0.1])
    clock.now += 0.25
    assert rate() is None


def test_as_many_slots_as_there_are() -> None:
    count = Count(2)
    assert [count(), count(), count(), count()] == [0.0, 0.0, None, None]


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (figures(600, 4.0, 0.01), "PASS"),
        (figures(540, 4.0, 0.01), "FAIL: Throughput too low: 136 writes/s"),
        (figures(600, 4.0, *[0.01] * 500, 0.6), "Slowest request took too long: 0.600000s"),
        (figures(600, 4.0, 0.01, 0.3), "Stddev too high: 0.145000s"),
        (figures(0, 0.0), "FAIL: Throughput too low: 1 writes/s"),
    ],
)
def test_the_verdict(measured: Figures, expected: str) -> None:
    lines, passed = verdict(measured, 150)
    assert expected in lines
    assert passed == (expected == "PASS")
    assert lines[-1] == ("PASS" if passed else "FAIL")


def test_an_error_is_a_failure() -> None:
    measured = figures(600, 4.0, 0.01)
    measured.errors["out of order"] += 2
    assert verdict(measured, 150)[0][:2] == ["FAIL: too many errors", "FAIL: ERROR(out of order) -> 2"]
    assert not verdict(measured, 150)[1]


@pytest.mark.parametrize("kind", [Etcd, Brainctl])
def test_it_writes_and_leaves_nothing(kind: type[Etcd | Brainctl], tmp_path: Path) -> None:
    with kind(tmp_path) as server:
        at = ("--endpoints", server.endpoint)
        done = brainctl(*at, "check", "perf", "--duration", "1s", "--rate", "20", "--auto-compact", "--auto-defrag")
        assert done.stdout.startswith("Compacting with revision ")
        assert f'Defragmented "{server.endpoint}"\n' in done.stdout
        assert "Throughput" in done.stdout
        scaled = brainctl(*at, "check", "datascale", "--keys", "100", "--clients", "3")
        load = "100 key-value pairs, 1024 bytes per key-value, 3 concurrent clients"
        assert scaled.stdout.splitlines()[0] == f"Start data scale check for work load [{load}]."
        assert scaled.stdout.splitlines()[1].startswith("PASS: Approximate system memory used : ")
        answer = json.loads(etcdctl(server.endpoint, "get", "", "--prefix", "--keys-only", "-w", "json").stdout)
        assert "kvs" not in answer
        assert answer["header"]["revision"] > 100


def test_mistakes(tmp_path: Path) -> None:
    with Etcd(tmp_path) as server:
        etcdctl(server.endpoint, "put", "/etcdctl-check-perf/x", "1")
        etcdctl(server.endpoint, "put", "/etcdctl-check-datascale/x", "1")
        for argv in (
            ("check", "perf"),
            ("check", "datascale"),
            ("check", "perf", "--load", "huge"),
            ("check", "datascale", "--load", "huge"),
        ):
            theirs = etcdctl(server.endpoint, *argv)
            ours = brainctl("--endpoints", server.endpoint, *argv)
            assert ours.returncode == theirs.returncode
            expected = theirs.stderr.splitlines()[-1]  # before it stands what its client logs
            assert ours.stderr == expected.replace("etcdctl del", "brainctl del") + "\n", argv
    refused = brainctl("check", "perf", "--prefix=")
    assert (refused.returncode, refused.stderr) == (128, "Error: --prefix must not be empty\n")
