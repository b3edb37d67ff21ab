"""Plots: both formats, the same bytes for the same figures, and a sentence for what cannot be drawn."""

import re
from pathlib import Path

import pytest

from brainctl.errors import BadArguments
from brainctl.output import plot

SERIES: dict[str, plot.Points] = {"etcd": ([1, 2, 3], [3.0, 2.0, 9.0]), "brainctl": ([1, 2, 3], [1.0, 1.5, 1.0])}


def test_lines_name_their_series_and_axes(tmp_path: Path) -> None:
    plot.lines(tmp_path / "a.svg", "Latency", "seconds", "ms", SERIES, log="xy")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text())
    assert {"Latency", "seconds", "ms", "etcd", "brainctl"} <= set(texts)


def test_bars_name_their_groups(tmp_path: Path) -> None:
    plot.bars(tmp_path / "a.svg", "Cost", "us", ["put", "get"], {"etcd": [2.0, 1.0], "brainctl": [1.0, 0.5]})
    assert {"put", "get"} <= set(re.findall(r">([^<>]+)</text>", (tmp_path / "a.svg").read_text()))


def test_panels_name_each_axis(tmp_path: Path) -> None:
    plot.panels(tmp_path / "a.svg", "Soak", "minutes", {"MiB": SERIES, "ms": {"": SERIES["etcd"]}})
    texts = set(re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text()))
    assert {"Soak", "minutes", "MiB", "ms", "etcd"} <= texts


def test_the_same_figures_are_the_same_file(tmp_path: Path) -> None:
    for name in "ab":
        plot.lines(tmp_path / f"{name}.svg", "Latency", "seconds", "ms", SERIES)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_png_is_a_picture(tmp_path: Path) -> None:
    plot.lines(tmp_path / "a.png", "Latency", "seconds", "ms", SERIES)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match=r"a plot is written as \.svg or \.png"):
        plot.lines(tmp_path / "a.pdf", "Latency", "seconds", "ms", SERIES)
