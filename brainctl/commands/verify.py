"""brainctl verify."""

import asyncio
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.clock import ManualClock, SystemClock
from brainctl.commands._command import single
from brainctl.commands._failure import CommandFailed
from brainctl.commands._places import Pd, TikvPrefix, compacted, must_exist, place
from brainctl.errors import BadArguments, ExitCode, Unsupported
from brainctl.session import Session

if TYPE_CHECKING:
    from brainctl.verify.compare import Report


class Order(NamedTuple):
    """What to compare."""

    source: str
    target: str
    pd: str
    tikv_prefix: str
    live: bool
    leases: bool


def parse(
    source: Annotated[str, typer.Option("--from", metavar="STORE", help="the store as it should be")] = "",
    target: Annotated[str, typer.Option("--to", metavar="STORE", help="the store that is looked at")] = "",
    pd: Pd = "",
    tikv_prefix: TikvPrefix = "",
    live: Annotated[
        bool, typer.Option("--live", help="both change meanwhile: only what stays different counts")
    ] = False,
    no_leases: Annotated[bool, typer.Option("--no-leases", help="do not compare leases")] = False,
) -> Order:
    """Compare two stores: every key, value, create and mod revision, version and lease.

    Keys are compared at the newest revision that both have. Exit code 0 says equal, 7 says different.
    """
    if not source or not target:
        raise BadArguments("verify needs --from STORE and --to STORE")
    return Order(source, target, pd, tikv_prefix, live, not no_leases)


async def run(session: Session, order: Order) -> None:
    """Compare, and report."""
    from brainctl.stores.registry import open_store
    from brainctl.verify.compare import Comparison

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported("verify reports in the formats simple and json")
    source = place(session, order.source, "--from", order.pd, order.tikv_prefix)
    target = place(session, order.target, "--to", order.pd, order.tikv_prefix)
    must_exist(source)
    must_exist(target)
    still = ManualClock()  # no lease runs out in a store that is only looked at
    expected = await open_store(source, session.target(), still)
    try:
        found = await open_store(target, session.target(), still)
        try:
            comparison = Comparison(expected, found, SystemClock(), live=order.live, leases=order.leases)
            with compacted("no revision can be read on both sides"):
                report = await comparison.run()
        finally:
            await asyncio.shield(found.close())
    finally:
        await asyncio.shield(expected.close())
    session.write(_json(report) if session.settings.write_out == "json" else _text(report))
    if not report.equal:
        raise CommandFailed(f"{report.different} differences at revision {report.revision}", ExitCode.DIFFERENT)


def _text(report: "Report") -> bytes:
    from brainctl.commands._verify_lines import line

    lines = [line(entry) for entry in report.differences]
    if report.different > len(report.differences):
        lines.append(f"... and {report.different - len(report.differences)} more")
    verdict = "equal" if report.equal else "different"
    lines.append(
        f"{verdict} at revision {report.revision}: {report.keys} keys, {report.bytes / 1e6:.1f} MB, "
        f"{report.leases} leases, {report.seconds:.1f} s"
    )
    return "\n".join(lines).encode() + b"\n"


def _json(report: "Report") -> bytes:
    import orjson

    from brainctl.commands._verify_lines import shape

    fields = {
        "equal": report.equal,
        "revision": str(report.revision),
        "keys": report.keys,
        "bytes": report.bytes,
        "leases": report.leases,
        "different": report.different,
        "differences": [shape(entry) for entry in report.differences],
        "rechecked": report.rechecked,
        "seconds": report.seconds,
    }
    return orjson.dumps(fields) + b"\n"


app = single("verify", parse, run)
