"""The smallest part of a history that still contradicts itself in the same way.

An anomaly names the few lines that show it. They are tried alone, on top of the keys as they were before; where that is
not enough, all that concerns the same keys around them is taken, and made smaller as long as the contradiction stays.
"""

from collections.abc import Sequence
from typing import NamedTuple

from brainctl.check.anomaly import Anomaly
from brainctl.check.checker import check
from brainctl.check.file import fields_of
from brainctl.check.line import Header, InvalidHistory, Line, Version
from brainctl.check.replay import Replay

TRIED_MAX = 400
"""Number of parts of a history that are tried."""


class Counterexample(NamedTuple):
    """A small history that breaks the same promise."""

    header: Header
    lines: Sequence[Line]
    anomaly: Anomaly


def shrink(anomaly: Anomaly, header: Header, around: Sequence[Line], replay: Replay) -> Counterexample | None:
    """Return the smallest history found that shows `anomaly`; None when no part of what is known shows it.

    Args:
        anomaly: What was found.
        header: That of the whole history.
        around: Lines of the history near the anomaly, those of the anomaly among them, in their order.
        replay: The keys, of which the versions before the lines are taken.
    """
    named = [line for line in around if any(line is one for one in anomaly.lines)] or list(anomaly.lines)
    for part in (named, _related(named, around)):
        small = _history(header, part, replay)
        for lines in ([_started(line, small["revision"]) for line in part], [*part]):
            if (shown := _shows(small, lines, anomaly.kind)) is not None:
                return _smaller(small, lines, shown)
    return None


def _related(named: Sequence[Line], around: Sequence[Line]) -> list[Line]:
    """Return the lines around that concern the same keys, leases, names or watches."""
    marks = {mark for line in named for mark in _marks(line)}
    return [line for line in around if marks.intersection(_marks(line))]


def _marks(line: Line) -> set[tuple[str, str | int]]:
    found: set[tuple[str, str | int]] = set()
    for request in (line, *line.get("success", ()), *line.get("failure", ())):
        if "key" in request and line["op"] != "watch":
            found.add(("key", request["key"]))
        if request.get("lease"):
            found.add(("lease", request["lease"]))
    if "id" in line:
        found.add(("lease", line["id"]))
    if "watch" in line:
        found.add(("watch", line["watch"]))
    if "name" in line:
        found.add(("name", line["name"]))
    return found


def _history(header: Header, lines: Sequence[Line], replay: Replay) -> Header:
    """Return the header of a history of these lines alone: the keys before them, and others that write too."""
    revisions = [line["rev"] for line in lines if "rev" in line and line["op"] != "notify"]
    base = max(min([*revisions, *_event_revisions(lines)], default=1) - 1, 0)
    kvs: list[Version] = []
    if base >= replay.first:
        kvs = [kv for kv in replay.at(base).span("", "\0") if kv.mod <= base]
    keys = {mark[1] for line in lines for mark in _marks(line) if mark[0] == "key"}
    ranged = any(line.get("end") for line in lines)
    kept = [fields_of(kv) for kv in kvs if ranged or kv.key in keys]
    small: Header = {"revision": base, "exclusive": False, "prefix": header.get("prefix", ""), "kvs": kept}
    return small


def _started(line: Line, base: int) -> Line:
    """Return a line, with the creation of a watch moved behind the keys that the small history begins with."""
    moved: Line = {**line, "start": max(line.get("start", 0), base + 1)}
    return moved if line["op"] == "watch" else line


def _event_revisions(lines: Sequence[Line]) -> list[int]:
    found = []
    for line in lines:
        for event in line.get("events", ()):
            version = event[1]
            if isinstance(version, list) and isinstance(version[2], int):
                found.append(version[2])
    return found


def _shows(header: Header, lines: Sequence[Line], kind: str) -> Anomaly | None:
    try:
        anomalies = check(header, lines).anomalies
    except InvalidHistory:  # a response without the creation of its watch
        return None
    return next((found for found in anomalies if found.kind == kind), None)


def _smaller(header: Header, lines: list[Line], shown: Anomaly) -> Counterexample:
    """Leave out lines, halves first, then single ones, as long as the contradiction stays."""
    tried, size = 0, max(len(lines) // 2, 1)
    while size:
        place = 0
        while place < len(lines) and tried < TRIED_MAX:
            part = lines[:place] + lines[place + size :]
            tried += 1
            found = _shows(header, part, shown.kind) if part else None
            if found is not None:
                lines, shown = part, found
            else:
                place += size
        size //= 2
    return Counterexample(header, lines, shown)
