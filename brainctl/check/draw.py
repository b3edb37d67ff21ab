"""A counterexample as a picture: every operation a bar from its call to its return, beside what its client was told.

Times are drawn in their order, not to scale: which bar ends before which begins is what matters.
"""

from collections.abc import Iterator
from html import escape

import orjson

from brainctl.check.anomaly import KINDS, did, who
from brainctl.check.line import KvFields, Line
from brainctl.check.order import NEVER
from brainctl.check.shrink import Counterexample

LEFT, STEP, ROW, TOP = 110, 90, 46, 34
"""Pixels: of the names of clients, between two times, of an operation, above the first one."""
TEXT_PIXELS = 7.4
"""About the width of a character."""
STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#222}.b{fill:#9db8d9}.x{fill:#e07a6a}.u{fill-opacity:.45}"
    ".g{stroke:#ddd}.t{fill:#888;font-size:10px}"
)


def svg(example: Counterexample) -> str:
    """Return the picture as SVG, complete in itself."""
    lines = list(example.lines)
    named = [_unmoved(line) for line in example.anomaly.lines]
    times = sorted({time for line in lines for time in _span(line) if time != NEVER})
    place = {time: LEFT + STEP * number for number, time in enumerate(times)}
    right = LEFT + STEP * max(len(times), 1)
    longest = max((len(_label(line)) for line in lines), default=0) * TEXT_PIXELS
    width, height = int(max(right + 20, LEFT + longest + 20)), TOP + ROW * len(lines) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{_text(example.anomaly.text)}</title><style>{STYLE}</style>",
        *_times(times, place, height),
    ]
    for number, line in enumerate(lines):
        parts += _bar(line, TOP + ROW * number, place, right, is_named=_unmoved(line) in named)
    return "\n".join([*parts, "</svg>"])


def html(example: Counterexample) -> str:
    """Return a page with the picture, the contradiction in words, and the lines; it needs no other file."""
    anomaly = example.anomaly
    listed = "\n".join(_text(orjson.dumps(line).decode()) for line in example.lines)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{_text(anomaly.kind)}</title>
<style>body{{font:15px system-ui,sans-serif;margin:2em;max-width:90em}}div,pre{{overflow-x:auto}}</style></head><body>
<h1>{_text(anomaly.kind)}: {_text(KINDS[anomaly.kind])}</h1>
<p>{_text(anomaly.text)}</p>
<div>{svg(example)}</div>
<p>Each bar is an operation, from its call to its return, in the order of time but not to scale; faded ones never
returned. Red ones contradict each other.</p>
<pre>{listed}</pre>
</body></html>
"""


def _times(times: list[int], place: dict[int, int], height: int) -> Iterator[str]:
    """Yield the grid: a line for each time, with milliseconds since the first."""
    for time in times:
        x = place[time]
        yield f'<line class="g" x1="{x}" y1="{TOP - 12}" x2="{x}" y2="{height}"/>'
        yield f'<text class="t" x="{x}" y="{TOP - 18}">{(time - times[0]) / 1e6:.3f} ms</text>'


def _bar(line: Line, y: int, place: dict[int, int], right: int, *, is_named: bool) -> list[str]:
    begin, end = _span(line)
    x, to = place[begin], right if end == NEVER else place[end]
    kind = ("x" if is_named else "b") + (" u" if end == NEVER else "")
    return [
        f'<text x="4" y="{y + 30}">{_text(who(line))}</text>',
        f'<text x="{LEFT}" y="{y + 13}">{_text(_label(line))}</text>',
        f'<rect class="{kind}" x="{x}" y="{y + 19}" width="{max(to - x, 6)}" height="15" rx="3"/>',
    ]


def _span(line: Line) -> tuple[int, int]:
    """Return when a line begins and ends; NEVER for an end that is not known."""
    if "called" not in line:
        time = line.get("time", 0)
        return time, time
    returned = line.get("returned")
    return line["called"], NEVER if returned is None else returned


def _label(line: Line) -> str:
    """Return in words what was asked and told."""
    if line["op"] == "watch":
        return f"watches from revision {line.get('start', 0)}"
    if line["op"] == "notify":
        shown = ", ".join(_event(event[1]) for event in line.get("events", ()))
        return f"delivers {shown}" if shown else f"has reached revision {line['rev']}"
    if line["op"] == "hold":
        return f"holds {line['name']} from revision {line['since']} until {line.get('until')}"
    if line["op"] == "hash":
        return f"endpoint {line['endpoint']} has hash {line['hash']} at revision {line['at']}"
    return f"{did(line)}: {_answer(line)}"


def _answer(line: Line) -> str:
    if "error" in line:
        return f"refused, {line['error']}"
    if line.get("returned") is None:
        return "outcome unknown"
    found = ", " + (", ".join(map(_event, line["kvs"])) or "nothing") if "kvs" in line else ""
    return f"revision {line.get('rev', 0)}{found}"


def _event(version: str | int | KvFields | None) -> str:
    if not isinstance(version, list):
        return ""
    key, _, mod, number, value, _ = version
    return f"{key}={value} (mod {mod})" if number else f"no {key} (mod {mod})"


def _unmoved(line: Line) -> Line:
    """Return a line without what a small history changes in it."""
    return {**line, "start": 0}


def _text(text: str) -> str:
    return escape("".join(one if one.isprintable() or one == "\n" else f"\\x{ord(one):02x}" for one in text))
