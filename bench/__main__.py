"""Compare etcd and brainctl: both run on this machine, each workload is given to one after the other, in rounds.

Prints a table of ratios. With --write the figures go into bench/results.json, and from there, as tables, into README.md
and docs/performance.md, and as plots into docs/plots; figures of workloads that were not measured stay.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.coldstart import cold_start
from bench.document import write_tables
from bench.measure import Sample, measure
from bench.memory import measure_memory
from bench.plots import draw
from bench.report import summary, tables
from bench.where import where
from bench.workloads import MEMORY_KEYS, SECTIONS, Section
from tests.peers.certificates import Authority
from tests.peers.servers import Brainctl, Etcd, Server

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.json"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "performance.md")
QUOTA = ("--quota-backend-bytes", str(32 << 30))
"""What is written in a measurement is more than the servers take by default."""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a measurement")
    parser.add_argument(
        "--only", default="", help="workloads that have this in their name; or memory, cold-start, where"
    )
    parser.add_argument("--full", action="store_true", help="more workloads, and memory with a million keys")
    parser.add_argument("--write", action="store_true", help="write the figures, the tables and the plots")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the tables and plots again")
    options = parser.parse_args()
    if options.render:
        render(json.loads(RESULTS.read_text()))
        return
    results = run(options)
    found = tables(results)
    for name in sorted(found, key="bench".__eq__):  # what is in the README comes last
        print(found[name])
    if options.write:
        write(results)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; the figures as they are written."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        if options.only in ("", "cold-start"):
            with Brainctl(Path(name, "cold")) as server:
                results["cold_start"] = cold_start(server)
        if options.only in ("", "memory"):
            results["memory"] = memory(Path(name), MEMORY_KEYS if options.full else MEMORY_KEYS[:1])
        if options.only in ("", "where"):
            results["where"] = where(options.seconds)
    samples: dict[str, dict[str, list[Sample]]] = {}
    for number in range(0 if results and options.only else options.rounds):
        for section in SECTIONS:
            for workload, name, sample in one_round(section, number, options):
                samples.setdefault(workload, {}).setdefault(name, []).append(sample)
                print(f"{number + 1}/{options.rounds} {name:8} {workload:40} {sample.per_second:12,.0f}/s "
                      f"{sample.cpu_us:10.1f} us/op (load {sample.load_cpu_us:.1f}) p99 {sample.p99_us / 1e3:.1f} ms "
                      f"{sample.errors:.0f} errors", file=sys.stderr)  # fmt: skip
    return {**results, "workloads": summary(samples)}


def one_round(section: Section, number: int, options: argparse.Namespace) -> Iterator[tuple[str, str, Sample]]:
    """Both servers on fresh directories; who goes first alternates."""
    wanted = section.choose(options.only, full=options.full)
    if not wanted:
        return
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name, ExitStack() as stack:
        authority = Authority(Path(name), "authority") if section.tls else None
        servers: list[Server] = [
            Etcd(Path(name, "etcd"), *QUOTA, fsync=True, authority=authority),
            Brainctl(Path(name, "brainctl"), *QUOTA, authority=authority),
        ]
        for server in servers:
            stack.enter_context(server)
        for workload in wanted:
            for server in servers if number % 2 == 0 else reversed(servers):
                sample = measure(server, workload, options.seconds, authority)
                if sample:
                    yield workload.name, server.name, sample


def memory(directory: Path, counts: tuple[int, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """Each server alone, with as many keys as `counts` has; by the count, then by the server."""
    figures = {}
    servers: list[Server] = [
        Etcd(directory / "etcd", *QUOTA, fsync=True),
        Brainctl(directory / "brainctl", *QUOTA),
    ]
    for server in servers:
        with server:
            figures[server.name] = measure_memory(server, counts)
    return {str(count): {name: found[str(count)] for name, found in figures.items()} for count in counts}


def write(results: dict[str, Any]) -> None:
    """Put the figures where the documentation shows them. Those of another machine are not kept."""
    machine = {
        "machine": platform.machine(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if {name: old.get(name) for name in machine} != machine:
        old = {}
    merged = {
        **machine,
        "workloads": old.get("workloads", {}) | results["workloads"],
        "memory": old.get("memory", {}) | results.get("memory", {}),
        "cold_start": results.get("cold_start") or old.get("cold_start", {}),
        "where": results.get("where") or old.get("where", {}),
    }
    RESULTS.write_text(json.dumps(merged, indent=1) + "\n")
    render(merged)


def render(results: dict[str, Any]) -> None:
    """Write the tables and the plots of the figures."""
    for document in DOCUMENTS:
        write_tables(document, tables(results))
    draw(results, ROOT / "docs" / "plots")


if __name__ == "__main__":
    main()
