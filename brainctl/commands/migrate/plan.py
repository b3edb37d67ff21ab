"""brainctl migrate plan: a dry run, and what stands in the way."""

from typing import TYPE_CHECKING

import orjson

from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.migrate.options import MigrateOptions
from brainctl.output.gotext import size

if TYPE_CHECKING:
    from brainctl.migrate.planner import MigrationPlan


async def plan(session: Session, source: str, target: str, options: MigrateOptions) -> None:
    """Look at both sides, and show what was found.

    Raises:
        CommandFailed: Something stands in the way; with the exit code with which the migration would end.
    """
    from brainctl.migrate.planner import Planner

    found = await Planner(source, target, options, etcd=session.reach(), admission=session.copying).run()
    session.write(_json(found) if session.settings.write_out == "json" else _text(found))
    if found.blocking:
        raise CommandFailed(f"not ready: {found.blocking[0].text}", found.blocking[0].code)


def _text(found: "MigrationPlan") -> bytes:
    """Return lines for people: the figures of both sides, then the findings."""
    source, target = found.source, found.target
    rows = [
        ("source", f"cluster {source.cluster:x}{f', version {source.version}' if source.version else ''}"),
        ("history", f"from revision {source.base} to {source.revision}"),
        ("keys", f"{source.keys} at revision {source.base}, {source.revision - source.base} revisions since"),
        ("size", f"about {size(source.bytes)}"),
        ("leases", str(source.leases)),
        ("users", "left behind" if source.users is None else f"{source.users}, and {source.roles} roles"),
        ("target", f"at revision {target.revision}" if target.exists and not target.empty else "new"),
        ("reading", f"about {source.seconds:.1f} s, one page at a time"),
    ]
    lines = [f"{name + ':':<8} {value}" for name, value in rows]
    lines += [f"{finding.level}: {finding.text}" for finding in found.findings]
    lines.append("not ready" if found.blocking else "ready")
    return "\n".join(lines).encode() + b"\n"


def _json(found: "MigrationPlan") -> bytes:
    """Return an object on one line; revisions are strings."""
    source, target = found.source, found.target
    fields = {
        "ready": not found.blocking,
        "source": {
            "cluster": f"{source.cluster:x}",
            "version": source.version,
            "revision": str(source.revision),
            "base_revision": str(source.base),
            "keys": source.keys,
            "bytes": source.bytes,
            "size_in_use": source.size_in_use,
            "leases": source.leases,
            "users": source.users,
            "roles": source.roles,
        },
        "target": {
            "exists": target.exists,
            "empty": target.empty,
            "revision": str(target.revision),
            "phase": target.record.phase if target.record is not None else "",
            "process": target.holder,
            "free_bytes": target.free,
        },
        "read_seconds": round(source.seconds, 1),
        "findings": [{"level": f.level, "text": f.text, "exit_code": int(f.code)} for f in found.findings],
    }
    return orjson.dumps(fields) + b"\n"
