"""Tables in the documentation that programs write: between <!-- NAME --> and <!-- /NAME -->."""

from collections.abc import Mapping
from pathlib import Path


def write_tables(path: Path, tables: Mapping[str, str]) -> None:
    """Put the tables where the document has their marks; what it has no marks for is left out."""
    text = path.read_text()
    for name, table in tables.items():
        mark, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        before, found, rest = text.partition(mark)
        if found:
            old, ended, after = rest.partition(end)
            assert ended, f"{path}: {mark!r} has no end after {old[:40]!r}"
            text = f"{before}{mark}{table}{end}{after}"
    path.write_text(text)


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}".replace(",", " ") if abs(rounded) >= 100 else f"{rounded:g}"
