"""/metrics: what was counted, in the text format of Prometheus, put together when it is requested.

A metric has the name that it has in etcd where it means the same, so that dashboards and alerts go on working; what is
brainctl's own starts with brainctl_. See docs/metrics.md.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from brainctl import __version__
from brainctl.clock import Durations
from brainctl.errors import Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.tally import Tally
from brainctl.node.local.write_stages import Stages
from brainctl.node.metrics import EngineFigures, NodeMetrics
from brainctl.server.call_stats import Calls
from brainctl.server.node_protocol import Node
from brainctl.tikv.client.traffic import Traffic
from brainctl.tikv.errors import Failure

_GRPC_NAMES: Final = {code: "".join(part.title() for part in code.name.split("_")) for code in Code} | {
    Code.OK: "OK",
    Code.CANCELLED: "Canceled",
}

_BARE: Final = ("etcd_server_health_success", "etcd_server_health_failures")
"""Counters whose names do not end in _total; the text is made with that ending for all others."""
_WRITES: Final = (
    *(f"/etcdserverpb.KV/{name}" for name in ("Put", "DeleteRange", "Txn", "Compact")),
    *(f"/etcdserverpb.Lease/Lease{name}" for name in ("Grant", "Revoke")),
)


class Metrics:
    """The metrics of one server."""

    def __init__(self, node: Node, calls: Calls) -> None:
        self._node = node
        self._calls = calls
        self._first_term = 0
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    def text(self, status: pb.StatusResponse) -> bytes:
        """Return the text of /metrics, for a node with this status."""
        registry = CollectorRegistry()
        self._first_term = self._first_term or status.raftTerm
        leaders = status.raftTerm - self._first_term + 1
        registry.register(_Scrape(status, leaders, self._node.figures(), self._node.stages, self._calls))
        text = generate_latest(registry)
        for name in _BARE:
            text = text.replace(f"# TYPE {name} gauge\n".encode(), f"# TYPE {name} counter\n".encode())
        return text + generate_latest(self._process)


class _Scrape(Collector):
    """One scrape."""

    def __init__(
        self, status: pb.StatusResponse, leaders: int, figures: NodeMetrics, stages: Stages, calls: Calls
    ) -> None:
        self._status = status
        self._leaders = leaders
        self._figures = figures
        self._stages = stages
        self._calls = calls

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics but those of the process."""
        yield from _server(self._status)
        yield _counter(
            "etcd_server_leader_changes_seen", "Processes that came to write, one of them the first.", self._leaders
        )
        yield from _store(self._status, self._figures)
        yield from _calls(self._calls)
        yield from _stages(self._stages)
        yield from _never()
        if self._figures.engine is not None:
            yield from _engine(self._figures.engine)
            yield from _operations(self._figures.engine.tally, self._calls)
            yield from _commits(self._stages)
        if self._figures.tikv is not None:
            yield from _tikv(self._figures.tikv)


def _server(status: pb.StatusResponse) -> Iterator[Metric]:
    version = status.version
    leads = status.leader == status.header.member_id
    yield _info("brainctl_build_info", "The version of brainctl.", version=__version__)
    yield _info("etcd_server_version", "The release of etcd whose API this is.", server_version=version)
    cluster = ".".join(version.split(".")[:2])
    yield _info("etcd_cluster_version", "The same, as the version of the cluster.", cluster_version=cluster)
    yield _info("etcd_server_id", "The id of this member.", server_id=f"{status.header.member_id:x}")
    yield _gauge("etcd_server_has_leader", "Whether there is a process that writes.", int(bool(status.leader)))
    yield _gauge("etcd_server_is_leader", "Whether it is this one.", int(leads))
    yield _gauge("etcd_server_is_learner", "Never.", 0)
    yield _gauge("etcd_server_quota_backend_bytes", "Growth beyond this size is refused.", status.dbSizeQuota)


def _store(status: pb.StatusResponse, figures: NodeMetrics) -> Iterator[Metric]:
    revision = status.header.revision
    yield _gauge("etcd_debugging_mvcc_current_revision", "The newest durable revision.", revision)
    yield _gauge("etcd_debugging_mvcc_compact_revision", "The compacted revision.", figures.compacted)
    yield _gauge("etcd_mvcc_db_total_size_in_bytes", "What the store takes up.", status.dbSize)
    yield _gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "What of it is not garbage.", status.dbSizeInUse)
    yield _gauge("etcd_debugging_mvcc_watch_stream_total", "Open watch streams.", figures.watch_streams)
    yield _gauge("etcd_debugging_mvcc_watcher_total", "Watchers on them.", figures.watchers)
    yield _gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that miss events so far.", figures.slow_watchers)
    yield _counter("etcd_debugging_mvcc_events", "Events that were sent to watchers.", figures.events_sent)
    yield _gauge("etcd_debugging_mvcc_pending_events_total", "None: who misses events reads the history.", 0)
    yield _gauge("etcd_debugging_auth_revision", "The revision of users and roles.", figures.auth_revision)
    expired = figures.expired_leases
    yield _counter("etcd_debugging_server_lease_expired", "Leases revoked because their time was over.", expired)
    watchers_refused = figures.watchers_refused
    yield _counter("brainctl_watchers_refused", "Watchers for which there was no memory.", watchers_refused)
    snapshots_refused = figures.snapshots_refused
    yield _counter("brainctl_snapshots_refused", "Snapshots that were refused or given up.", snapshots_refused)
    yield _gauge("brainctl_leases", "Leases that are alive.", figures.leases)


def _calls(calls: Calls) -> Iterator[Metric]:
    labels = ["grpc_type", "grpc_service", "grpc_method"]
    started = CounterMetricFamily("grpc_server_started", "Calls that were begun.", labels=labels)
    handled = CounterMetricFamily("grpc_server_handled", "Calls that have ended.", labels=[*labels, "grpc_code"])
    for method in calls.methods.values():
        names = [method.kind, method.service, method.name]
        started.add_metric(names, method.started)
        for code, count in {Code.OK: method.ok, **method.failed}.items():
            handled.add_metric([*names, _GRPC_NAMES[code]], count)
    yield started
    yield handled
    for name, count in zip(_BARE, (calls.healthy, calls.unhealthy), strict=True):
        yield _gauge(name, "Answers of /health that said so.", count)
    pending = sum(calls.of(path).pending for path in _WRITES)
    yield _gauge("etcd_server_proposals_pending", "Writes that are not answered yet.", pending)
    yield _gauge("brainctl_connections_limit", "How many connections there may be.", calls.room.limit)
    refused = calls.room.refused
    yield _counter("brainctl_connections_refused", "Connections closed at once: there were too many.", refused)
    buffers = calls.buffers
    yield _gauge("brainctl_memory_held_bytes", "Requests that are not whole and answers that wait.", buffers.held)
    yield _gauge("brainctl_memory_held_limit_bytes", "What clients may have the server hold.", buffers.limit)
    yield _counter("brainctl_memory_refused", "Connections cut off because of what they held.", buffers.refused)
    yield _counter("brainctl_requests_delayed", "Waited for others to be answered.", calls.in_flight.delayed)
    gateway_refused = calls.large_answers.refused
    yield _counter("brainctl_gateway_refused", "Answers of the gateway refused: too many waited.", gateway_refused)
    granted = calls.of("/etcdserverpb.Lease/LeaseGrant").ok
    yield _counter("etcd_debugging_lease_granted", "Calls of LeaseGrant that have granted one.", granted)
    yield _counter("etcd_network_client_grpc_received_bytes", "Read from connections of HTTP/2.", calls.received_bytes)
    yield _counter("etcd_network_client_grpc_sent_bytes", "Written to connections of HTTP/2.", calls.sent_bytes)


def _stages(stages: Stages) -> Iterator[Metric]:
    family = HistogramMetricFamily(
        "brainctl_write_stage_seconds", "How long writes spent in each stage of their way.", labels=["stage"]
    )
    for name, durations in stages.durations.items():
        family.add_metric([name], _buckets(durations), durations.seconds)
    yield family
    yield HistogramMetricFamily(
        "brainctl_group_writes",
        "How many writes were made durable together.",
        buckets=_buckets(stages.groups, below=1),
        sum_value=stages.groups.seconds,
    )
    yield _counter("brainctl_groups", "Group commits.", sum(stages.groups.counts))
    committed = int(stages.groups.seconds)
    yield _counter("etcd_server_proposals_failed", "None: a write that cannot be made durable ends the server.", 0)
    for name in ("committed", "applied"):
        yield _gauge(f"etcd_server_proposals_{name}_total", "Writes that were made durable.", committed)


def _operations(tally: Tally, calls: Calls) -> Iterator[Metric]:
    ranges = tally.ranges + calls.of("/etcdserverpb.KV/Range").ok
    yield _counter("etcd_mvcc_put", "Puts, those in transactions included.", tally.puts)
    yield _counter("etcd_mvcc_delete", "Deletes of a key or a range, those in transactions included.", tally.deletes)
    yield _counter("etcd_mvcc_range", "Ranges that were read for clients, in transactions and out of them.", ranges)


def _commits(stages: Stages) -> Iterator[Metric]:
    yield HistogramMetricFamily(
        "etcd_disk_backend_commit_duration_seconds",
        "How long making a group of writes durable took, written and synced.",
        buckets=_buckets(stages.commits),
        sum_value=stages.commits.seconds,
    )
    yield _counter("etcd_server_slow_apply", "Writes whose evaluation took longer than 100 ms.", stages.slow)


def _never() -> Iterator[Metric]:
    """Yield what does not happen here: reads wait for no quorum, and a log needs no snapshots."""
    yield _counter("etcd_server_slow_read_indexes", "None: reads do not wait for other members.", 0)
    yield _counter("etcd_server_read_indexes_failed", "None: reads do not wait for other members.", 0)
    for name in ("etcd_debugging_snap_save_total_duration_seconds", "etcd_snap_db_fsync_duration_seconds"):
        empty = _buckets(Durations(1e-3, 14))
        yield HistogramMetricFamily(name, "None: the log needs no snapshots.", buckets=empty, sum_value=0)


def _engine(engine: EngineFigures) -> Iterator[Metric]:
    stats = engine.stats
    yield _gauge("etcd_debugging_mvcc_keys_total", "Live keys.", engine.keys)
    yield HistogramMetricFamily(
        "etcd_disk_wal_fsync_duration_seconds",
        "How long fdatasync of the log took.",
        buckets=_buckets(engine.log_syncs),
        sum_value=engine.log_syncs.seconds,
    )
    yield HistogramMetricFamily(
        "brainctl_engine_write_bytes",
        "How large writes to the log were.",
        buckets=_buckets(engine.log_writes, below=1),
        sum_value=engine.log_writes.seconds,
    )
    yield _gauge("brainctl_engine_alignment_bytes", "Writes to the log begin at multiples of this.", engine.alignment)
    yield _gauge("etcd_disk_wal_write_bytes_total", "Written to the log.", stats.log_bytes)
    written = CounterMetricFamily(
        "brainctl_engine_written_bytes", "Given to the file system, by what it was for.", labels=["category"]
    )
    for category, written_bytes in stats.by_category.items():
        written.add_metric([category], written_bytes)
    yield written
    yield _counter("brainctl_engine_payload_bytes", "Key-values as they were handed in.", stats.payload_bytes)
    yield _counter("brainctl_engine_syncs", "Syncs of files and directories.", stats.syncs)
    yield _counter("brainctl_engine_records", "Records in the log.", stats.records)
    yield _counter("brainctl_engine_recycled_segments", "Files of dead segments used again.", stats.recycled_segments)
    yield _counter("brainctl_engine_reclaimed_segments", "Segments given back.", stats.reclaimed_segments)
    yield _counter("brainctl_engine_reclaimed_bytes", "Bytes of them.", stats.reclaimed_bytes)
    scrub = engine.scrub
    yield _counter("brainctl_scrub_passes", "Times that the whole store was read and found sound or not.", scrub.passes)
    yield _counter("brainctl_scrub_read_bytes", "Read by it.", scrub.bytes)
    yield _gauge("brainctl_scrub_damaged", "Damaged places that the last pass has found.", len(scrub.findings))
    yield _gauge("brainctl_scrub_finished_timestamp_seconds", "When the last pass was finished.", scrub.finished_at)


def _tikv(traffic: Traffic) -> Iterator[Metric]:
    family = HistogramMetricFamily(
        "brainctl_tikv_request_seconds", "How long requests to TiKV took, failed ones too.", labels=["kind"]
    )
    for kind, durations in traffic.requests.items():
        family.add_metric([kind], _buckets(durations), durations.seconds)
    yield family
    failed = CounterMetricFamily(
        "brainctl_tikv_failures", "Requests to TiKV that failed; most are tried again.", labels=["reason"]
    )
    for failure in Failure:
        failed.add_metric([failure.name.lower()], traffic.failures[failure])
    yield failed
    keys = CounterMetricFamily("brainctl_tikv_keys", "Keys that TiKV sent.", labels=["kind"])
    for kind in ("get", "scan", "scan_keys"):
        keys.add_metric([kind], traffic.keys[kind])
    yield keys


def _buckets(durations: Durations, below: float = 0.0) -> list[tuple[str, float]]:
    """Return cumulative counts by upper bound.

    Of whole numbers the bounds are `below` 1 less: 1, 3, 7 instead of 2, 4, 8.
    """
    buckets = []
    total = 0
    last = len(durations.counts) - 1
    for at, count in enumerate(durations.counts):
        total += count
        bound = "+Inf" if at == last else repr(round(durations.unit * 2**at - below, 9))
        buckets.append((bound, float(total)))
    return buckets


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def _info(name: str, about: str, **labels: str) -> Metric:
    family = GaugeMetricFamily(name, about, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family
