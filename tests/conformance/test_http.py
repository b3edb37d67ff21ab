"""What is beside gRPC: the pages, the names of the metrics, and the paths of the JSON gateway."""

import json
import re
import urllib.error
import urllib.request
from fnmatch import fnmatch

import pytest

from brainctl.etcdpb import rpc_pb2 as pb
from tests.conformance.client import MAINTENANCE, Client
from tests.conformance.conftest import Own
from tests.conftest import NewBrainctl, NewEtcd
from tests.peers import ROOT
from tests.peers.servers import Brainctl, Etcd

MIXIN = {
    "etcd_server_has_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_pending",
    "etcd_server_quota_backend_bytes",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "grpc_server_started_total",
    "grpc_server_handled_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
}
"""What the alerts and the dashboard of etcd's mixin read, and common ones beside it."""


def page(endpoint: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{endpoint}{path}", timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics(endpoint: str) -> dict[str, str]:
    """The types of the metrics, by name."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page(endpoint, "/metrics")[1], re.MULTILINE))


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/health?serializable=true",
        "/livez",
        "/livez?verbose",
        "/livez/serializable_read",
        "/readyz",
        "/readyz?exclude=non_learner",
        "/readyz/linearizable_read",
        "/readyz/none",
        "/none",
    ],
)
def test_the_pages_are_those_of_etcd(brainctl_server: Brainctl, etcd: Etcd, path: str) -> None:
    assert page(brainctl_server.endpoint, path) == page(etcd.endpoint, path)


def test_an_alarm_makes_a_server_unhealthy(own: Own) -> None:
    alarmed = own()
    alarmed.call(MAINTENANCE + "Alarm", pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, alarm=pb.NOSPACE))
    status, body = page(alarmed.server.endpoint, "/health")
    assert (status, json.loads(body)) == (503, {"health": "false", "reason": "ALARM NOSPACE"})
    assert page(alarmed.server.endpoint, "/health?exclude=NOSPACE")[0] == 200
    assert page(alarmed.server.endpoint, "/livez")[0] == 200


def test_the_version(server: Client) -> None:
    status, body = page(server.server.endpoint, "/version")
    assert (status, json.loads(body)) == (
        200,
        {"etcdserver": server.status().version, "etcdcluster": "3.7.0", "storage": "3.7.0"},
    )


def test_alerts_and_dashboards_find_their_metrics(server: Client) -> None:
    assert MIXIN - set(metrics(server.server.endpoint)) == set()


def left_out() -> list[str]:
    section = (ROOT / "docs" / "metrics.md").read_text().partition("## Left out")[2].partition("## ")[0]
    return [name for line in section.splitlines() for name in re.findall(r"`([a-z_*]+)`", line.split(" | ")[0])]


def test_each_metric_of_etcd_is_there_or_accounted_for(brainctl_server: Brainctl, etcd: Etcd) -> None:
    for path in ("/health", "/livez", "/readyz"):  # their metrics are there once they were asked for
        assert page(etcd.endpoint, path)[0] == 200
    theirs, ours = metrics(etcd.endpoint), metrics(brainctl_server.endpoint)
    missing = {name for name in theirs if name not in ours}
    assert {name for name in missing if not any(fnmatch(name, pattern) for pattern in left_out())} == set()
    assert {name for name, kind in theirs.items() if ours.get(name, kind) != kind} == set()
    assert [pattern for pattern in left_out() if not any(fnmatch(name, pattern) for name in missing)] == []


PATHS = {
    "/v3/kv/range": {"key": "YQ=="},
    "/v3/kv/put": {"key": "YQ==", "value": "Yg=="},
    "/v3/kv/deleterange": {"key": "bm9uZQ=="},
    "/v3/kv/txn": {},
    "/v3/lease/grant": {"TTL": 60, "ID": "1234"},
    "/v3/lease/timetolive": {"ID": "1234"},
    "/v3/lease/leases": {},
    "/v3/lease/revoke": {"ID": "1234"},
    "/v3/kv/lease/leases": {},
    "/v3/cluster/member/list": {},
    "/v3/maintenance/status": {},
    "/v3/maintenance/alarm": {},
    "/v3/maintenance/hashkv": {},
    "/v3/auth/status": {},
    "/v3/auth/user/list": {},
    "/v3/kv/rangestream": {},
}


def test_the_gateway_has_etcds_paths(new_brainctl: NewBrainctl, new_etcd: NewEtcd) -> None:
    """On new servers: which fields an answer has depends on what is stored, on leases too."""

    def answers(endpoint: str) -> dict[str, tuple[int, list[str]]]:
        found = {}
        for path, body in PATHS.items():
            request = urllib.request.Request(f"http://{endpoint}{path}", json.dumps(body).encode())
            request.add_header("Content-Type", "application/json")
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    found[path] = answer.status, sorted(set(json.load(answer)) - {"dbSizeInUse", "raftAppliedIndex"})
            except urllib.error.HTTPError as error:
                found[path] = error.code, []
        return found

    assert answers(new_brainctl().endpoint) == answers(new_etcd().endpoint)
