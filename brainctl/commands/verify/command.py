"""brainctl verify."""

import asyncio
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli.command import single
from brainctl.cli.progress import keys, on_terminal, progress
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.cli.store_urls import Pd, TikvPrefix, compacted, must_exist, place
from brainctl.client.failure import CommandFailed
from brainctl.clock import ManualClock, SystemClock
from brainctl.errors import BadArguments, ExitCode, Unsupported
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.urls import parse as parse_url

if TYPE_CHECKING:
    from brainctl.stores.store import Store
    from brainctl.verify.compare import Report
    from brainctl.verify.lag import Newest


class VerifyOptions(NamedTuple):
    """What to compare."""

    source: str
    target: str
    pd: str
    tikv_prefix: str
    live: bool
    leases: bool
    max_lag: int = 0
    auth: bool = True


def parse(
    source: Annotated[
        str, typer.Option("--from", metavar="STORE", help="the reference store, with what is expected")
    ] = "",
    target: Annotated[str, typer.Option("--to", metavar="STORE", help="the store to compare with --from")] = "",
    pd: Pd = "",
    tikv_prefix: TikvPrefix = "",
    live: Annotated[
        bool, typer.Option("--live", help="both stores are being written: count only differences that stay")
    ] = False,
    no_leases: Annotated[bool, typer.Option("--no-leases", help="do not compare leases")] = False,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="do not compare users and roles")] = False,
    max_lag: Annotated[
        str,
        typer.Option("--max-lag", metavar="uint", help="number of revisions that one store may be behind the other"),
    ] = "0",
) -> VerifyOptions:
    """Compare two stores: every key, value, create and mod revision, version and lease, and the users and roles.

    Users and roles are shown to users with the role root only; --no-auth leaves them out. Keys are compared at the
    newest revision that both have. A side that has not reached the other's newest revision is different by what it
    lacks, unless --max-lag allows it, or --live while both move and the distance does not grow. Exit code 0 says
    equal, 7 says different.
    """
    if not source or not target:
        raise BadArguments("verify needs --from STORE and --to STORE")
    lag = read_int(max_lag, "--max-lag")
    if lag < 0:
        raise BadArguments("--max-lag must be 0 at least")
    return VerifyOptions(source, target, pd, tikv_prefix, live, not no_leases, lag, not no_auth)


async def run(session: Session, order: VerifyOptions) -> None:
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
    expected = await open_store(source, session.reach(), still, admission=session.admission)
    try:
        found = await open_store(target, session.reach(), still, admission=session.admission)
        try:
            comparison = Comparison(
                expected,
                found,
                SystemClock(),
                live=order.live,
                leases=order.leases,
                auth=order.auth,
                max_lag=order.max_lag,
            )
            total = await _total(expected, source)
            with (
                compacted(lambda: f"no revision can be read on both sides: {_newest(comparison.newest)}"),
                progress("comparing", keys) as shown,
            ):
                comparison.on_progress = lambda compared: shown(compared, total)
                report = await comparison.run()
        finally:
            await asyncio.shield(found.close())
    finally:
        await asyncio.shield(expected.close())
    session.write(_json(report) if session.settings.write_out == "json" else _text(report))
    if not report.equal:
        some = "1 difference" if report.different == 1 else f"{report.different} differences"
        raise CommandFailed(f"{some} at revision {report.revision}", ExitCode.DIFFERENT)


async def _total(store: "Store", url: str) -> int:
    """Return how many keys there are, for the progress on a terminal; 0 where that takes long to count."""
    if not on_terminal() or not parse_url(url).scheme.counts_fast:
        return 0
    return (await store.range(pb.RangeRequest(key=b"\0", range_end=b"\0", count_only=True))).count


def _newest(newest: "Newest") -> str:
    return f"the newest are {newest.expected} and {newest.found}"


def _text(report: "Report") -> bytes:
    from brainctl.commands.verify.lines import line

    lines = [line(entry) for entry in report.differences]
    if report.different > len(report.differences):
        lines.append(f"... and {report.different - len(report.differences)} more")
    verdict = "equal" if report.equal else "different"
    lines.append(
        f"{verdict} at revision {report.revision} ({_newest(report.newest)}): {report.keys} keys, "
        f"{report.bytes / 1e6:.1f} MB, {report.leases} leases, {report.seconds:.1f} s"
    )
    return "\n".join(lines).encode() + b"\n"


def _json(report: "Report") -> bytes:
    import orjson

    from brainctl.commands.verify.lines import shape

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


app = single("verify", parse, run)
