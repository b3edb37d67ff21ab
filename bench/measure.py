"""Run one workload against one server; throughput beside the CPU that the server spent."""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from bench.workloads import Workload
from tests.peers import require
from tests.peers.servers import Server

TICKS = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """One run."""

    per_second: float
    cpu_us: float
    """User and system time of the server process per operation, microseconds."""
    load_cpu_us: float
    """The same of the load generator, which should be the smaller."""
    p50_us: float
    p99_us: float


def measure(server: Server, workload: Workload, seconds: float) -> Sample | None:
    """Run the workload; None for one that only prepares data."""
    command = [str(require("etcd-load")), f"-endpoint={server.endpoint}", f"-seconds={seconds}"]
    command += workload.arguments()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        if load.stdout.readline() != "ready\n":
            assert load.wait() == 0, f"{workload.operation} failed"
            assert workload.operation == "fill", f"{workload.operation} did not start"
            return None
        before = cpu_seconds(server.pid)
        load.stdin.write("go\n")
        load.stdin.flush()
        line = load.stdout.readline()
        used = cpu_seconds(server.pid) - before
    result = json.loads(line)
    operations = result["operations"]
    assert operations, f"{workload.name}: nothing was done"
    whole = max(1, operations - workload.clients)  # the others began before the measurement
    assert result["bytes"] >= whole * workload.least_bytes, f"{workload.name}: the answers are too small"
    return Sample(
        operations / result["seconds"],
        used / operations * 1e6,
        result["load_cpu_seconds"] / operations * 1e6,
        result["p50_us"],
        result["p99_us"],
    )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5), fields utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
