"""The comparison: its arithmetic, its table, and one short real run."""

import json
import os
import time
from pathlib import Path

import pytest

from bench.document import write_tables
from bench.measure import Sample, cpu_seconds, measure
from bench.migration import base_copy, migration_table, mirror
from bench.plots import draw
from bench.report import HEADLINE, summary, table, tables
from bench.sampled import LOOP
from bench.soak import Size, soak
from bench.tikv import compared, one_by_one, reads_table, tikv_table
from bench.verdict import Moment, faults, soak_table
from bench.where import Sampled
from bench.workloads import Section, Workload, fill
from tests.peers.certificates import Authority
from tests.peers.servers import Etcd, Playground

ETCD = [Sample(1000.0, 60.0, 5.0, 100.0, 900.0), Sample(1200.0, 50.0, 5.0, 100.0, 900.0), Sample(1100, 55, 5, 100, 900)]
OURS = [Sample(2200.0, 11.0, 5.0, 50.0, 400.0)]
MEMORY = {
    "100000": {
        "etcd": {"resident_per_key": 400, "anonymous_per_key": 300},
        "brainctl": {"resident_per_key": 200, "anonymous_per_key": 100},
    }
}


def test_the_table_shows_ratios_of_medians() -> None:
    row = table(summary({"put": {"etcd": ETCD, "brainctl": OURS}})).splitlines()[2]
    assert row == "| put | 1 100 ± 9% | 2 200 ± 0% | **2** | 55 | 11 | **0.2** |"


def test_the_summary_keeps_every_figure() -> None:
    figures = summary({"put": {"etcd": ETCD}})["put"]["etcd"]
    assert (figures["per_second"], figures["cpu_us"], figures["rounds"]) == (1100, 55, 3)
    assert figures["spread"] == pytest.approx(200 / 1100)


def test_what_is_chosen_finds_its_keys() -> None:
    one, two = Workload("one", "get", 1), Workload("two", "put", 1, is_full=True)
    section = Section("some", (fill(1, 1), one, fill(2, 2), two))
    assert section.choose("", full=True) == list(section.workloads)
    assert section.choose("", full=False) == [fill(1, 1), one]
    assert section.choose("two", full=True) == [fill(2, 2), two]
    assert section.choose("three", full=True) == []


def test_cpu_seconds_counts_what_a_process_spends() -> None:
    before, begun = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() < begun + 0.1:
        pass
    assert cpu_seconds(os.getpid()) >= before + 0.05


def test_a_real_run_reads_what_was_filled(tmp_path: Path) -> None:
    with Etcd(tmp_path) as server:
        assert measure(server, fill(200, 64), 0.1) is None
        sample = measure(server, Workload("list", "list", 2, least_bytes=200 * 64), 0.1)
        assert sample is not None
        assert sample.per_second > 0
        with pytest.raises(AssertionError, match="too small"):
            measure(server, Workload("list", "list", 2, least_bytes=1 << 20), 0.1)


def test_a_kubernetes_load_over_tls_loses_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    workload = Workload("kubernetes", "kubernetes", 4, keys=40, size=100, watchers=10, ttl=2)
    with Etcd(tmp_path / "etcd", authority=authority) as server:
        sample = measure(server, workload, 0.5, authority)
    assert sample is not None
    assert sample.events_per_second > 0
    assert sample.errors == 0


def test_tables_go_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- core -->\nold\n<!-- /core -->\nb\n")
    for _ in range(2):
        write_tables(page, {"core": "new\n", "other": "not here\n"})
    assert page.read_text() == "a\n<!-- core -->\nnew\n<!-- /core -->\nb\n"


def test_the_tables_and_plots_are_made_of_the_figures(tmp_path: Path) -> None:
    found = tables({"workloads": summary({HEADLINE[0]: {"etcd": ETCD, "brainctl": OURS}}), "memory": MEMORY})
    assert "| **2** |" in found["bench"]
    assert found["core"].startswith(found["bench"])
    assert found["memory"].splitlines()[2] == "| 100 000 | 400 | 200 | **0.5** | 300 | 100 | **0.333** |"
    pytest.importorskip("matplotlib")
    draw({"workloads": summary({HEADLINE[0]: {"etcd": ETCD, "brainctl": OURS}})}, tmp_path / "plots")
    assert HEADLINE[0] in (tmp_path / "plots" / "throughput.svg").read_text()


def test_a_short_soak_finds_no_error(tmp_path: Path) -> None:
    results = soak(tmp_path, 1.0, 0.5, Size(clients=4, keys=40, watchers=10, rate=200, ttl=2))
    assert len(results["moments"]) == 2
    assert faults(results) == []
    assert "no error" in soak_table(results)


def moments(**of_last: float) -> list[dict[str, float]]:
    """A long soak of nothing, whose last third of moments is different."""
    one = dict.fromkeys(Moment._fields, 0.0) | {"resident": 100 << 20, "store": 64 << 20, "put_p99_ms": 20.0}
    return [one | {"second": 60.0 * n} | (of_last if n >= 20 else {}) for n in range(1, 31)]


@pytest.mark.parametrize(
    ("of_last", "fault"),
    [
        ({}, None),
        ({"resident": 120 << 20}, "memory grew by"),
        ({"put_p99_ms": 60.0}, "p99 of puts went from 20.0 to 60.0 ms"),
        ({"store": 128 << 20}, "the store went from 64 MiB to 128 MiB"),
        ({"descriptors": 100.0}, "open files went from 0.0 to 100.0"),
    ],
)
def test_the_verdict_finds(of_last: dict[str, float], fault: str | None) -> None:
    found = faults({"moments": moments(**of_last), "end": {"missing": 0, "expired": 7, "errors": {}}})
    assert [fault in text for text in found] == [True] if fault else not found


def test_the_verdict_of_the_end() -> None:
    end = {"missing": 3, "expired": 0, "errors": {"get: wrong answer": 2}}
    assert len(faults({"moments": moments(), "end": end})) == 3


def test_a_migration_is_measured(tmp_path: Path) -> None:
    with Etcd(tmp_path / "source") as source, Etcd(tmp_path / "mirror") as target:
        measure(source, fill(300, 64), 0)
        copied = {"make-mirror": mirror(source, target, 300, 20)}
        copied["file"] = base_copy(source, f"file://{tmp_path}/file", 300)
    assert (copied["make-mirror"]["keys"], copied["file"]["keys"]) == (300, 300)
    late = {"changes_per_second": 2000.0, "median_seconds": 0.05, "p99_seconds": 0.3}
    rows = migration_table({**copied, "file lag": late}).splitlines()
    assert rows[-1].endswith("| 2 000 | 0.05 | 0.3 |")


def test_the_processor_time_of_a_server_has_parts(tmp_path: Path) -> None:
    with Sampled(tmp_path) as server:
        measure(server, fill(2000, 64), 0)
    samples = json.loads(server.output.read_text())
    assert samples
    assert all("/" in name or name in (LOOP, "clock", "errors") for name in samples)


def test_a_transaction_for_each_put_is_measured(tmp_path: Path) -> None:
    with Playground(tmp_path) as cluster:
        alone = one_by_one(cluster.endpoint, "alone/", 3, 0.3)
    row = {"one_by_one": alone, "brainctl": 3 * alone, "brainctl_cpu_us": 100, "ratio": 3}
    assert "| **3** | 100 |" in tikv_table({"clients": {"3": row}})


def test_reads_over_tikv_are_compared_round_by_round() -> None:
    etcd, ours = ([Sample(speed, 50, 5, 1, 1) for speed in speeds] for speeds in ((10, 40, 20), (30, 40, 40)))
    table = reads_table({"reads": {"get": compared(etcd, ours)}})
    assert table.splitlines()[-1] == "| get | 20 | 40 | **2** | 50 |"
