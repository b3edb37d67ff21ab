"""What `brainctl migrate` says at its end, on standard output."""

from dataclasses import asdict

import orjson

from brainctl.migrate.report import MigrationReport


def as_json(report: MigrationReport) -> bytes:
    """Return the report as a JSON object on one line; revisions are strings."""
    fields = asdict(report)
    wide = {name: str(fields[name]) for name in ("base_revision", "chosen_revision", "revision")}
    return orjson.dumps(fields | wide) + b"\n"


def as_text(report: MigrationReport) -> bytes:
    """Return lines for people. Totals are those of all processes; a resumed one says which part is its own."""
    copied = f" ({report.process_keys} keys by this process)" if report.resumed else ""
    applied = f" ({report.process_events} by this process)" if report.resumed else ""
    rows = [
        ("source", report.source),
        ("target", report.target),
        ("history", f"from revision {report.base_revision}{_lost(report)}"),
        ("copied", f"{report.keys} keys as of revision {report.base_revision}, {report.bytes / 1e6:.1f} MB{copied}"),
        ("applied", f"{report.events} events since{applied}"),
        ("leases", str(report.leases)),
        ("auth", report.authentication + ("" if report.authentication == "left behind" else _accounts(report))),
        ("resyncs", f"{report.resyncs} (and {report.retries} repeated requests)"),
        ("time", f"{report.seconds:.1f} s{', resumed' if report.resumed else ''}"),
    ]
    head = f"{report.phase} at revision {report.revision}"
    lines = [f"{head}: {report.reason}" if report.reason else head, *(f"  {name:<9}{value}" for name, value in rows)]
    return "\n".join(lines).encode() + b"\n"


def _lost(report: MigrationReport) -> str:
    """Return what the source compacted during the copy, in words; "" when that was nothing."""
    if report.chosen_revision == report.base_revision:
        return ""
    return f" (the source compacted that from {report.chosen_revision} on during the copy)"


def _accounts(report: MigrationReport) -> str:
    return f" ({report.users} users, {report.roles} roles)"
