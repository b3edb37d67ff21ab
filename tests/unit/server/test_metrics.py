"""/metrics: etcd's names and types where a name is etcd's, and numbers that are those of what was done."""

import http.client
import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from brainctl.etcdpb import rpc_pb2 as pb
from tests.conftest import NewBrainctl, NewEtcd
from tests.peers.servers import Brainctl, Etcd, etcdctl
from tests.support.rpc import Remote

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


ASKED = """
etcd_server_has_leader etcd_server_is_leader etcd_server_leader_changes_seen_total etcd_server_proposals_failed_total
etcd_server_proposals_pending etcd_server_proposals_committed_total etcd_server_proposals_applied_total etcd_server_id
etcd_server_version etcd_cluster_version etcd_server_quota_backend_bytes etcd_server_slow_apply_total
etcd_server_slow_read_indexes_total etcd_server_read_indexes_failed_total etcd_disk_wal_fsync_duration_seconds_bucket
etcd_disk_wal_write_bytes_total etcd_disk_backend_commit_duration_seconds_bucket etcd_mvcc_db_total_size_in_bytes
etcd_mvcc_db_total_size_in_use_in_bytes etcd_mvcc_put_total etcd_mvcc_delete_total etcd_mvcc_range_total
etcd_network_client_grpc_received_bytes_total etcd_network_client_grpc_sent_bytes_total etcd_debugging_auth_revision
etcd_debugging_mvcc_keys_total etcd_debugging_mvcc_slow_watcher_total etcd_debugging_mvcc_watcher_total
etcd_debugging_lease_granted_total etcd_debugging_server_lease_expired_total
etcd_debugging_snap_save_total_duration_seconds_bucket etcd_snap_db_fsync_duration_seconds_bucket
grpc_server_handled_total grpc_server_started_total process_resident_memory_bytes process_open_fds process_max_fds
process_start_time_seconds process_cpu_seconds_total etcd_debugging_mvcc_events_total
etcd_debugging_mvcc_pending_events_total etcd_server_health_success_total etcd_server_health_failures_total
"""
"""What public dashboards and alerts for etcd ask for, but for what docs/metrics.md leaves out.

The parser adds _total to the two counters of health, which are without it in the text.
"""


def test_what_dashboards_ask_for_is_there(served: Brainctl, etcd: Etcd) -> None:
    for endpoint in (served.endpoint, etcd.endpoint):
        assert set(ASKED.split()) - {name for name, _ in scrape(endpoint).values} == set()


def test_what_does_not_happen_here_has_the_buckets_of_etcd(served: Brainctl, etcd: Etcd) -> None:
    for name in ("etcd_debugging_snap_save_total_duration_seconds", "etcd_snap_db_fsync_duration_seconds"):
        theirs, ours = (
            {k: v for k, v in scrape(each.endpoint).values.items() if k[0] == f"{name}_bucket"}
            for each in (etcd, served)
        )
        assert ours == dict.fromkeys(theirs, 0)


COMPARED = 'mod("a") > "0"\n\nput g 1\n\nput e 1\nget e\ndel f\n\n'


def test_operations_are_counted_as_in_etcd(new_etcd: NewEtcd, served: Brainctl) -> None:
    """Those in transactions by the branch that was taken."""
    names = [f"etcd_mvcc_{name}_total" for name in ("put", "delete", "range")]
    names += ["etcd_debugging_lease_granted_total", "etcd_debugging_auth_revision"]
    gains = []
    for endpoint in (new_etcd().endpoint, served.endpoint):
        before = scrape(endpoint)
        for argv in (["put", "a", "1"], ["get", "a"], ["get", "--prefix", ""], ["del", "a", "z"], ["del", "none"]):
            assert etcdctl(endpoint, *argv).returncode == 0
        for operations in ("\nput b 1\nput c 1\nget b\ndel e\n\nget a\n\n", "\nget b\nget c\n\nput d 1\n\n", COMPARED):
            assert etcdctl(endpoint, "txn", stdin=operations).returncode == 0
        for argv in (["lease", "grant", "600"], ["role", "add", "r"]):
            assert etcdctl(endpoint, *argv).returncode == 0
        after = scrape(endpoint)
        gains.append({name: after(name) - before(name) for name in names})
    assert gains[0] == gains[1]
    assert gains[1]["etcd_mvcc_put_total"] == 4


def test_events_and_health_are_counted_as_in_etcd(new_etcd: NewEtcd, served: Brainctl) -> None:
    names = [f"etcd_server_health_{name}_total" for name in ("success", "failures")]
    names += [f"etcd_debugging_mvcc_{name}events_total" for name in ("", "pending_")]
    gains = []
    for endpoint in (new_etcd().endpoint, served.endpoint):
        with closing(Remote(endpoint)) as remote:
            for key in (b"w1", b"w2", b"other"):
                remote.call("/etcdserverpb.KV/Put", pb.PutRequest(key=key))
            before = scrape(endpoint)
            watch = pb.WatchCreateRequest(key=b"w", range_end=b"x", start_revision=1)
            for _ in range(2):
                remote.stream("/etcdserverpb.Watch/Watch", [pb.WatchRequest(create_request=watch)], 2)
            assert get(endpoint, "/health")[0] == 200
            alarm = pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, alarm=pb.NOSPACE)
            remote.call("/etcdserverpb.Maintenance/Alarm", alarm)
            assert [get(endpoint, "/health")[0] for _ in range(2)] == [503, 503]
            after = scrape(endpoint)
        gains.append([after(name) - before(name) for name in names])
    assert gains[0] == gains[1] == [1, 2, 4, 0]


def test_leases_that_expire_are_counted(served: Brainctl) -> None:
    assert etcdctl(served.endpoint, "lease", "grant", "1").returncode == 0
    deadline = time.monotonic() + 120
    while not scrape(served.endpoint)("etcd_debugging_server_lease_expired_total"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_buckets_of_syncs_and_commits_are_those_of_etcd(etcd: Etcd, served: Brainctl) -> None:
    def bounds(scraped: Scraped, name: str) -> set[float]:
        return {float(dict(labels)["le"]) for (found, labels) in scraped.values if found == name}

    for name in ("etcd_disk_wal_fsync_duration_seconds_bucket", "etcd_disk_backend_commit_duration_seconds_bucket"):
        assert bounds(scrape(served.endpoint), name) == bounds(scrape(etcd.endpoint), name)


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
