"""What `brainctl migrate` says at its end, on standard output."""

from dataclasses import asdict, dataclass

import orjson

from brainctl.migrate.progress import Figures
from brainctl.stores.auth import Auth


@dataclass(frozen=True)
class Report:
    """The outcome of one process. The names are those of the JSON output."""

    phase: str
    source: str
    target: str
    resumed: bool
    base_revision: int
    """The target serves history from here on."""
    revision: int
    """The source's revision that the target has reached."""
    keys: int
    bytes: int
    events: int
    process_keys: int
    """Those of the keys and events that this process wrote; earlier ones wrote the rest."""
    process_events: int
    leases: int
    authentication: str
    """on or off in the target, or "left behind"."""
    users: int
    roles: int
    resyncs: int
    retries: int
    seconds: float
    reason: str
    """Why the process ended before its goal; empty when it did not."""

    @classmethod
    def of(
        cls, figures: Figures, source: str, target: str, reason: str, *, resumed: bool, auth: Auth | None
    ) -> "Report":
        """Make it from the last figures, and the users and roles in the target; None when these were left behind."""
        switch = "on" if auth is not None and auth.state.enabled else "off"
        return cls(
            phase=figures.phase,
            source=source,
            target=target,
            resumed=resumed,
            base_revision=figures.base_revision,
            revision=figures.watermark,
            keys=figures.keys,
            bytes=figures.bytes,
            events=figures.events,
            process_keys=figures.process_keys,
            process_events=figures.process_events,
            leases=figures.leases,
            authentication="left behind" if auth is None else switch,
            users=len(auth.users) if auth is not None else 0,
            roles=len(auth.roles) if auth is not None else 0,
            resyncs=figures.resyncs,
            retries=figures.retries,
            seconds=figures.elapsed_seconds,
            reason=reason,
        )


def as_json(report: Report) -> bytes:
    """Return the report as a JSON object on one line; revisions are strings."""
    wide = {"base_revision": str(report.base_revision), "revision": str(report.revision)}
    return orjson.dumps(asdict(report) | wide) + b"\n"


def as_text(report: Report) -> bytes:
    """Return lines for people. Totals are those of all processes; a resumed one says which part is its own."""
    copied = f" ({report.process_keys} keys by this process)" if report.resumed else ""
    applied = f" ({report.process_events} by this process)" if report.resumed else ""
    rows = [
        ("source", report.source),
        ("target", report.target),
        ("history", f"from revision {report.base_revision}"),
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


def _accounts(report: Report) -> str:
    return f" ({report.users} users, {report.roles} roles)"
