"""Samples of many rounds as medians, spreads and ratios: JSON for machines, a Markdown table for the README."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.measure import Sample

Samples = Mapping[str, Mapping[str, Sequence[Sample]]]
"""workload -> server -> one sample per round."""

HEAD = (
    "| workload | etcd op/s | brainctl op/s | ratio | etcd CPU us/op | brainctl CPU us/op | ratio |",
    "|---|---:|---:|---:|---:|---:|---:|",
)


def summary(samples: Samples) -> dict[str, Any]:
    """Medians of every figure, and the spread of the throughput: (largest - smallest) / median."""
    return {
        workload: {server: _summary(runs) for server, runs in servers.items()} for workload, servers in samples.items()
    }


def table(samples: Samples) -> str:
    """The ratios, of medians; above 1 means that brainctl does more, or needs more."""
    lines = list(HEAD)
    for workload, servers in samples.items():
        etcd, ours = (_summary(servers[name]) for name in ("etcd", "brainctl"))
        throughput = f"{_rate(etcd)} | {_rate(ours)} | **{_number(ours['per_second'] / etcd['per_second'])}**"
        cpu = f"{_number(etcd['cpu_us'])} | {_number(ours['cpu_us'])} | **{_number(ours['cpu_us'] / etcd['cpu_us'])}**"
        lines.append(f"| {workload} | {throughput} | {cpu} |")
    return "\n".join(lines) + "\n"


def _summary(runs: Sequence[Sample]) -> dict[str, float]:
    figures = {name: median(getattr(run, name) for run in runs) for name in Sample._fields}
    rates = [run.per_second for run in runs]
    return {**figures, "spread": (max(rates) - min(rates)) / figures["per_second"], "rounds": len(runs)}


def _rate(figures: Mapping[str, float]) -> str:
    return f"{_number(figures['per_second'])} ± {figures['spread'] / 2:.0%}"


def _number(value: float) -> str:
    """Three significant digits, thousands apart."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}".replace(",", " ") if rounded >= 100 else f"{rounded:g}"
