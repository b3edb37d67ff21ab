"""Samples of many rounds as medians, spreads and ratios: JSON for machines, Markdown tables for the documentation."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.document import number
from bench.measure import Sample
from bench.where import shares_table, stages_table
from bench.workloads import CORE, MIXED, SECTIONS, TLS, VALUES, Workload

Samples = Mapping[str, Mapping[str, Sequence[Sample]]]
"""workload -> server -> one sample per round."""
Summary = Mapping[str, Mapping[str, Mapping[str, float]]]
"""workload -> server -> figure -> its median."""

HEAD = (
    "| workload | etcd op/s | brainctl op/s | ratio | etcd CPU us/op | brainctl CPU us/op | ratio |",
    "|---|---:|---:|---:|---:|---:|---:|",
)
LATENCY_HEAD = (
    "| workload | etcd p50 ms | brainctl p50 ms | etcd p99 ms | brainctl p99 ms | ratio of p99 | load CPU us/op |",
    "|---|---:|---:|---:|---:|---:|---:|",
)
MEMORY_HEAD = (
    "| keys | etcd B/key | brainctl B/key | ratio | etcd anonymous B/key | brainctl anonymous B/key | ratio |",
    "|---:|---:|---:|---:|---:|---:|---:|",
)
HEADLINE = tuple(w.name for section in (CORE, TLS, MIXED) for w in section if w.name and not w.is_full)
"""The rows of the README."""


def summary(samples: Samples) -> dict[str, Any]:
    """Medians of every figure, and the spread of the throughput: (largest - smallest) / median."""
    return {
        workload: {server: _summary(runs) for server, runs in servers.items()} for workload, servers in samples.items()
    }


def table(figures: Summary, names: Sequence[str] | None = None) -> str:
    """The ratios, of medians; above 1 means that brainctl does more, or needs more."""
    lines = list(HEAD)
    for name, etcd, ours in _rows(figures, names):
        throughput = f"{_rate(etcd)} | {_rate(ours)} | **{number(ours['per_second'] / etcd['per_second'])}**"
        cpu = f"{number(etcd['cpu_us'])} | {number(ours['cpu_us'])} | **{number(ours['cpu_us'] / etcd['cpu_us'])}**"
        lines.append(f"| {name} | {throughput} | {cpu} |")
    return "\n".join(lines) + "\n"


def latencies(figures: Summary, names: Sequence[str] | None = None) -> str:
    """How long an operation takes its client: at full load most of it is waiting for the operations before it."""
    lines = list(LATENCY_HEAD)
    for name, etcd, ours in _rows(figures, names):
        medians = f"{number(etcd['p50_us'] / 1e3)} | {number(ours['p50_us'] / 1e3)}"
        worst = f"{number(etcd['p99_us'] / 1e3)} | {number(ours['p99_us'] / 1e3)}"
        load = f"{number(etcd['load_cpu_us'])} / {number(ours['load_cpu_us'])}"
        lines.append(f"| {name} | {medians} | {worst} | **{number(ours['p99_us'] / etcd['p99_us'])}** | {load} |")
    return "\n".join(lines) + "\n"


def memory_table(memory: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Memory by the number of keys, then by server."""
    lines = list(MEMORY_HEAD)
    for keys, servers in memory.items():
        etcd, ours = servers["etcd"], servers["brainctl"]
        cells = [
            f"{number(etcd[name])} | {number(ours[name])} | **{number(ours[name] / etcd[name])}**"
            for name in ("resident_per_key", "anonymous_per_key")
        ]
        lines.append(f"| {number(int(keys))} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def cold_start_table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """One `get` as a whole process."""
    lines = ["| one `get`, whole process | median ms | least ms | CPU ms |", "|---|---:|---:|---:|"]
    for server, program in (("etcd", "etcdctl"), ("brainctl", "brainctl")):
        cells = " | ".join(number(figures[server][name]) for name in ("wall_ms", "least_wall_ms", "cpu_ms"))
        lines.append(f"| {program} | {cells} |")
    return "\n".join(lines) + "\n"


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the documentation by their names; those of which nothing was measured are left out."""
    figures = results["workloads"]
    found = {"bench": table(figures, HEADLINE)} if figures else {}
    for section in SECTIONS:
        names = [workload.name for workload in section.workloads if workload.name in figures]
        if names:
            found[section.name] = f"{table(figures, names)}\n{latencies(figures, names)}"
            if section.workloads is VALUES:
                found[section.name] = f"![throughput by the size of values](plots/values.svg)\n\n{found[section.name]}"
            if section.workloads is MIXED:
                found[section.name] += "\n" + _mixed(figures, section.workloads)
    if results.get("memory"):
        found["memory"] = memory_table(results["memory"])
    if results.get("cold_start"):
        found["cold-start"] = cold_start_table(results["cold_start"])
        if figures:
            found["bench"] += "\n" + found["cold-start"]
    if results.get("where"):
        found["shares"] = shares_table(results["where"]["shares"])
        found["stages"] = stages_table(results["where"]["stages"])
    return found


def _mixed(figures: Summary, workloads: Sequence[Workload]) -> str:
    lines = ["| workload | etcd events/s | brainctl events/s | errors of etcd | errors of brainctl |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, etcd, ours in _rows(figures, [workload.name for workload in workloads]):
        events = f"{number(etcd['events_per_second'])} | {number(ours['events_per_second'])}"
        lines.append(f"| {name} | {events} | {number(etcd['errors'])} | {number(ours['errors'])} |")
    return "\n".join(lines) + "\n"


def _rows(figures: Summary, names: Sequence[str] | None) -> list[tuple[str, Mapping[str, float], Mapping[str, float]]]:
    wanted = figures if names is None else names
    return [(name, figures[name]["etcd"], figures[name]["brainctl"]) for name in wanted if name in figures]


def _summary(runs: Sequence[Sample]) -> dict[str, float]:
    figures = {name: median(getattr(run, name) for run in runs) for name in Sample._fields}
    rates = [run.per_second for run in runs]
    figures["errors"] = sum(run.errors for run in runs)
    return {**figures, "spread": (max(rates) - min(rates)) / figures["per_second"], "rounds": len(runs)}


def _rate(figures: Mapping[str, float]) -> str:
    return f"{number(figures['per_second'])} ± {figures['spread'] / 2:.0%}"
