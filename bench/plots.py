"""The figures as pictures, for the documentation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report import HEADLINE
from bench.workloads import SIZES
from brainctl.output import plot

SERVERS = ("etcd", "brainctl")


def draw(results: Mapping[str, Any], directory: Path) -> None:
    """Draw what was measured: throughput.svg, cpu.svg, values.svg."""
    directory.mkdir(exist_ok=True)
    figures = results["workloads"]
    names = [name for name in HEADLINE if name in figures]
    for file, figure, title in (
        ("throughput.svg", "per_second", "Operations per second (more is better)"),
        ("cpu.svg", "cpu_us", "CPU of the server per operation, microseconds (less is better)"),
    ):
        series = {server: [figures[name][server][figure] for name in names] for server in SERVERS}
        plot.bars(directory / file, title, "", names, series, log=True)
    lines: dict[str, plot.Points] = {}
    for verb in ("put", "get"):
        rows = {size: _row(figures, f"{verb} {label}, ") for size, label in SIZES.items()}
        sizes = [size for size, row in rows.items() if row]
        if len(sizes) < len(SIZES):
            continue
        for server in SERVERS:
            lines[f"{verb}, {server}"] = sizes, [rows[size][server]["per_second"] * size / 1e6 for size in sizes]
    if lines:
        plot.lines(directory / "values.svg", "Values of many sizes", "bytes of a value", "MB/s", lines, log="xy")


def _row(figures: Mapping[str, Any], beginning: str) -> Mapping[str, Any]:
    return next((row for name, row in figures.items() if name.startswith(beginning)), {})
