"""The report of a comparison, as text and as JSON."""

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
        f"{report.bytes / 1e6:.1f} MB, {report.leases} leases, {report.seconds:.1f} s"
    )
    return "\n".join(lines).encode() + b"\n"


def as_json(report: Report) -> bytes:
    """Return one line of JSON."""
    fields = {
        "equal": report.equal,
        "revision": str(report.revision),
        "from_revision": str(report.newest.expected),
        "to_revision": str(report.newest.found),
        "keys": report.keys,
        "bytes": report.bytes,
        "hashed": report.hashed,
        "leases": report.leases,
        "different": report.different,
        "differences": [shape(entry) for entry in report.differences],
        "rechecked": report.rechecked,
        "seconds": report.seconds,
    }
    return orjson.dumps(fields) + b"\n"
