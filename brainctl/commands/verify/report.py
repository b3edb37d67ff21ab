"""The report of a comparison, as text and as JSON."""

from collections.abc import Mapping

import orjson

from brainctl.commands.verify.lines import line, shape
from brainctl.verify.compare import Report
from brainctl.verify.lag import Newest


def revisions(newest: Newest) -> str:
    """Return words for the newest revisions of both sides."""
    return f"the newest are {newest.expected} and {newest.found}"


def as_text(report: Report) -> bytes:
    """Return a line for each listed difference, and the verdict."""
    lines = [line(entry) for entry in report.differences]
    if report.different > len(report.differences):
        lines.append(f"... and {report.different - len(report.differences)} more")
    verdict = "equal" if report.equal else "different"
    lines.append(
        f"{verdict} at revision {report.revision} ({revisions(report.newest)}): {report.keys} keys, "
        f"{report.bytes / 1e6:.1f} MB, {report.leases} leases, {_history(report)}{report.seconds:.1f} s"
    )
    return "\n".join(lines).encode() + b"\n"


def _history(report: Report) -> str:
    return f"{report.revisions} revisions after {report.oldest}, " if report.oldest else ""


def as_json(report: Report, names: Mapping[str, str]) -> bytes:
    """Return one line of JSON; `names` are the sides, where a command compares several."""
    fields = {
        **names,
        "equal": report.equal,
        "revision": str(report.revision),
        "from_revision": str(report.newest.expected),
        "to_revision": str(report.newest.found),
        "keys": report.keys,
        "bytes": report.bytes,
        "hashed": report.hashed,
        "leases": report.leases,
        **({"oldest_revision": str(report.oldest), "revisions": report.revisions} if report.oldest else {}),
        "different": report.different,
        "differences": [shape(entry) for entry in report.differences],
        "rechecked": report.rechecked,
        "seconds": report.seconds,
    }
    return orjson.dumps(fields) + b"\n"
