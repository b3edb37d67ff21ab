"""The comparison: its arithmetic, its table, and one short real run."""

import os
import time
from pathlib import Path

import pytest

from bench.measure import Sample, cpu_seconds, measure
from bench.report import summary, table
from bench.workloads import Workload, fill
from tests.peers.servers import Etcd

ETCD = [Sample(1000.0, 60.0, 5.0, 100.0, 900.0), Sample(1200.0, 50.0, 5.0, 100.0, 900.0), Sample(1100, 55, 5, 100, 900)]
OURS = [Sample(2200.0, 11.0, 5.0, 50.0, 400.0)]


def test_the_table_shows_ratios_of_medians() -> None:
    row = table({"put": {"etcd": ETCD, "brainctl": OURS}}).splitlines()[2]
    assert row == "| put | 1 100 ± 9% | 2 200 ± 0% | **2** | 55 | 11 | **0.2** |"


def test_the_summary_keeps_every_figure() -> None:
    figures = summary({"put": {"etcd": ETCD}})["put"]["etcd"]
    assert (figures["per_second"], figures["cpu_us"], figures["rounds"]) == (1100, 55, 3)
    assert figures["spread"] == pytest.approx(200 / 1100)


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
