"""Plots as SVG or PNG, by the suffix of the file's name. They need matplotlib: `pip install brainctl[plot]`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brainctl.errors import BadArguments, Unsupported

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = tuple[Sequence[float], Sequence[float]]
"""The x values of a line, and its y values."""

FORMATS = (".svg", ".png")


def lines(path: Path, title: str, x: str, y: str, series: Mapping[str, Points], *, log: str = "") -> None:
    """Draw a line for each of `series`, named by its key; `log` has the letters of the logarithmic axes."""
    figure, axes = _figure(path, title, x, y)
    for name, (xs, ys) in series.items():
        axes.plot(xs, ys, label=name, linewidth=1.2, marker="o" if len(xs) < 20 else None, markersize=3)
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    _save(figure, axes, path, legend=len(series) > 1)


def bars(path: Path, title: str, y: str, groups: Sequence[str], series: Mapping[str, Sequence[float]], *,
         log: bool = False) -> None:  # fmt: skip
    """Draw a group of bars for each of `groups`, in it a bar for each of `series`, which has a value per group."""
    figure, axes = _figure(path, title, "", y)
    width = 0.8 / len(series)
    for place, (name, values) in enumerate(series.items()):
        at = [group + (place - (len(series) - 1) / 2) * width for group in range(len(groups))]
        axes.bar(at, values, width, label=name)
    axes.set_xticks(
        range(len(groups)), groups, rotation=20 if len(groups) > 4 else 0, ha="right" if len(groups) > 4 else "center"
    )
    if log:
        axes.set_yscale("log")
    _save(figure, axes, path, legend=len(series) > 1)


def panels(path: Path, title: str, x: str, rows: Mapping[str, Mapping[str, Points]]) -> None:
    """Draw plots of lines one below the other, which share their x axis; each of `rows` is named by its y axis."""
    figure = _empty(path, height=1.1 + 1.3 * len(rows))
    plots = figure.subplots(len(rows), sharex=True, squeeze=False)[:, 0]
    for axes, (y, series) in zip(plots, rows.items(), strict=True):
        for name, (xs, ys) in series.items():
            axes.plot(xs, ys, label=name, linewidth=1.0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylabel(y)
        axes.set_ylim(bottom=0)
        if len(series) > 1:
            axes.legend(ncols=len(series), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, frameon=False)
    figure.suptitle(title)
    plots[-1].set_xlabel(x)
    _write(figure, path)


def _figure(path: Path, title: str, x: str, y: str) -> "tuple[Figure, Axes]":
    """Create a figure with one plot."""
    figure = _empty(path)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _empty(path: Path, height: float = 3.6) -> "Figure":
    """Create an empty figure.

    Raises:
        BadArguments: The file's name ends in none of FORMATS.
        Unsupported: matplotlib is not installed.
    """
    if path.suffix not in FORMATS:
        raise BadArguments(f"{path}: a plot is written as {' or '.join(FORMATS)}")
    try:
        import matplotlib as mpl  # noqa: PLC0415 - only those who draw need it, and it takes long to load
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise Unsupported("plots need matplotlib: pip install brainctl[plot]") from error
    # A file depends on the figures only: no date, no random names. Text stays text, for searches and screen readers.
    mpl.rc("svg", hashsalt="brainctl", fonttype="none")
    mpl.rc("axes", grid=True)
    mpl.rc("grid", alpha=0.3)
    return Figure(figsize=(7.2, height), layout="constrained")


def _save(figure: "Figure", axes: "Axes", path: Path, *, legend: bool) -> None:
    if legend:
        axes.legend(frameon=False)
    _write(figure, path)


def _write(figure: "Figure", path: Path) -> None:
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, metadata=metadata, dpi=120)
