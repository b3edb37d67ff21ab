"""The report of comparisons as a page of HTML that needs no other file."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from brainctl.commands.verify.lines import line, shape
from brainctl.commands.verify.report import revisions
from brainctl.verify.compare import Report

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}
h2{border-left:.4em solid #999;padding-left:.5em}.equal{border-color:#2a7}.different{border-color:#c33}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.2em .6em;text-align:left}
td:last-child{font-family:monospace;overflow-wrap:anywhere}"""


def write_html(name: str, compared: Sequence[tuple[tuple[str, str], Report]]) -> None:
    """Write the page to a file, which is replaced when it is complete."""
    path = Path(name)
    part = path.with_name(f"{path.name}.part")
    part.write_text(page(compared), encoding="utf-8", errors="backslashreplace")
    part.replace(path)


def page(compared: Sequence[tuple[tuple[str, str], Report]]) -> str:
    """Return the page."""
    verdict = "equal" if all(report.equal for _, report in compared) else "different"
    sections = "".join(_section(names, report) for names, report in compared)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>brainctl verify: {verdict}</title>'
        f"<style>{_STYLE}</style><h1>brainctl verify: {verdict}</h1>{sections}</html>\n"
    )


def _section(names: tuple[str, str], report: Report) -> str:
    """Return the part of one comparison."""
    verdict = "equal" if report.equal else "different"
    first, second = map(escape, names)
    figures = [
        ("revision", f"{report.revision} ({revisions(report.newest)})"),
        ("keys", f"{report.keys}, {report.hashed} of them by hashes of ranges"),
        ("bytes", str(report.bytes)),
        ("leases", str(report.leases)),
        *([("history", f"{report.revisions} revisions after {report.oldest}")] if report.oldest else []),
        ("differences", str(report.different)),
        ("gone when looked at again", str(report.rechecked)),
        ("seconds", f"{report.seconds:.1f}"),
    ]
    rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in figures)
    entries = "".join(
        f"<tr><td>{escape(str(shape(entry)['kind']))}</td><td>{escape(line(entry))}</td></tr>"
        for entry in report.differences
    )
    more = report.different - len(report.differences)
    rest = f"<p>and {more} more</p>" if more else ""
    return f'<h2 class="{verdict}">{first} and {second}: {verdict}</h2><table>{rows}</table>' + (
        f"<h3>Differences</h3><table>{entries}</table>{rest}" if entries else ""
    )
