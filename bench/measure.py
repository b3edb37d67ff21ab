"""Run one workload against one server; throughput beside the CPU that the server spent."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from bench.workloads import Workload
from tests.peers import require
from tests.peers.certificates import Authority
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
    errors: float = 0
    """Answers that were not as they must be, and events that did not come."""
    events_per_second: float = 0
    """What the watchers received."""


def measure(server: Server, workload: Workload, seconds: float, authority: Authority | None = None) -> Sample | None:
    """Run the workload; None for one that only prepares data."""
    with loading(server, [f"-seconds={seconds}", *workload.arguments()], authority) as load:
        if load is None:
            assert workload.operation == "fill", f"{workload.operation} did not start"
            return None
        before = cpu_seconds(server.pid)
        result, used = load.sample(), cpu_seconds(server.pid) - before
        end = load.end()
    operations = result["events" if workload.operation == "watch" else "operations"]
    assert operations, f"{workload.name}: nothing was done"
    whole = max(1, operations - workload.clients)  # the others began before the measurement
    assert result["bytes"] >= whole * workload.least_bytes, f"{workload.name}: the answers are too small"
    return Sample(
        operations / result["seconds"],
        used / operations * 1e6,
        result["load_cpu_seconds"] / operations * 1e6,
        result["p50_us"],
        result["p99_us"],
        sum(result["errors"].values()) + sum(end["errors"].values()) + abs(end["missing"]),
        result["events"] / result["seconds"],
    )


class Load:
    """A load generator at work."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output

    def sample(self) -> dict[str, Any]:
        """What was measured since the last sample; returns as soon as its time is over."""
        line = self._output.readline()
        assert line == "sample\n", f"the load generator ended: {line}"
        return self._read()

    def end(self) -> dict[str, Any]:
        """Wait for what is in flight after the last sample; what did not arrive, and errors."""
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._output.readline()
        assert line, "the load generator ended"
        result: dict[str, Any] = json.loads(line)
        return result


@contextmanager
def loading(server: Server, arguments: list[str], authority: Authority | None = None) -> Iterator[Load | None]:
    """Start the load generator and let it measure from now on; None when it has filled and ended."""
    command = [str(require("etcd-load")), f"-endpoint={server.endpoint}", *arguments]
    if authority:
        command.append(f"-ca={authority.file}")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        try:
            assert load.stdin is not None
            assert load.stdout is not None
            if load.stdout.readline() != "ready\n":
                assert load.wait() == 0, f"{arguments} failed"
                yield None
                return
            load.stdin.write("go\n")
            load.stdin.flush()
            yield Load(load.stdout)
        except BaseException:
            load.kill()
            raise


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5), fields utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> tuple[int, int]:
    """The resident memory of a process, and what of it is not backed by files, bytes (proc(5), status)."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    whole, anonymous = (int(status[name].split()[0]) << 10 for name in ("VmRSS", "RssAnon"))
    return whole, anonymous
