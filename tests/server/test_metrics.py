"""/metrics: etcd's names and types where a name is etcd's, and numbers that are those of what was done."""

import http.client
import re
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import NewBrainctl
from tests.peers.servers import Brainctl, Etcd, etcdctl

OWN = re.compile(r"brainctl_|python_")


class Scraped(NamedTuple):
    types: dict[str, str]
    values: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def __call__(self, name: str, **labels: str) -> float:
        return self.values[name, frozenset(labels.items())]


def get(endpoint: str, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(endpoint, timeout=120)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def scrape(endpoint: str) -> Scraped:
    status, text = get(endpoint, "/metrics")
    assert status == 200
    types = dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return Scraped(types, {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})


@pytest.fixture
def served(new_brainctl: NewBrainctl) -> Iterator[Brainctl]:
    return new_brainctl()


def test_names_of_etcd_have_its_types_and_labels(etcd: Etcd, served: Brainctl) -> None:
    for endpoint in (etcd.endpoint, served.endpoint):
        assert etcdctl(endpoint, "put", "metrics", "1").returncode == 0
    theirs, ours = scrape(etcd.endpoint), scrape(served.endpoint)
    shared = {name: kind for name, kind in ours.types.items() if not OWN.match(name)}
    assert len(shared) > 20
    assert {name: theirs.types.get(name) for name in shared} == shared
    labels = {
        name: {tuple(sorted(dict(of))) for (found, of) in theirs.values if found == name} for name, _ in theirs.values
    }
    for name, of in ours.values:
        if not OWN.match(name):
            assert tuple(sorted(dict(of))) in labels[name], name


def test_buckets_of_the_sync_histogram_are_those_of_etcd(etcd: Etcd, served: Brainctl) -> None:
    def bounds(scraped: Scraped) -> set[float]:
        name = "etcd_disk_wal_fsync_duration_seconds_bucket"
        return {float(dict(labels)["le"]) for (found, labels) in scraped.values if found == name}

    assert bounds(scrape(served.endpoint)) == bounds(scrape(etcd.endpoint))


def test_what_was_done_is_counted(served: Brainctl) -> None:
    before = scrape(served.endpoint)
    for number in range(3):
        assert etcdctl(served.endpoint, "put", f"k{number}", "v").returncode == 0
    assert etcdctl(served.endpoint, "lease", "revoke", "7").returncode != 0
    after = scrape(served.endpoint)

    def gained(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after.values[key] - before.values.get(key, 0.0)

    put = {"grpc_type": "unary", "grpc_service": "etcdserverpb.KV", "grpc_method": "Put"}
    revoke = {"grpc_type": "unary", "grpc_service": "etcdserverpb.Lease", "grpc_method": "LeaseRevoke"}
    assert gained("grpc_server_started_total", **put) == 3
    assert gained("grpc_server_handled_total", **put, grpc_code="OK") == 3
    assert gained("grpc_server_handled_total", **revoke, grpc_code="NotFound") == 1
    assert gained("etcd_server_proposals_committed_total") == 3
    assert gained("brainctl_group_writes_count") == gained("brainctl_groups_total") == 3
    assert gained("etcd_disk_wal_fsync_duration_seconds_count") == 3
    for stage in ("receive", "batch", "queue", "wake", "write", "sync", "apply", "reply"):
        assert gained("brainctl_write_stage_seconds_count", stage=stage) == 3
    assert (
        gained("etcd_disk_wal_write_bytes_total") == gained("brainctl_engine_written_bytes_total", category="log") > 0
    )
    assert after("etcd_debugging_mvcc_keys_total") == 3
    assert after("etcd_debugging_mvcc_current_revision") == 4
    assert after("etcd_server_has_leader") == after("etcd_server_is_leader") == 1


def test_the_group_of_a_revision_is_told_to_this_machine(served: Brainctl) -> None:
    assert etcdctl(served.endpoint, "put", "k", "v").returncode == 0
    status, text = get(served.endpoint, "/debug/stages?revision=2")
    assert status == 200
    assert '"writes":1' in text
    for query in ("", "?revision=3", "?revision=x", "?revision=-1", "?revision=" + "9" * 30):
        assert get(served.endpoint, f"/debug/stages{query}")[0] == 404
