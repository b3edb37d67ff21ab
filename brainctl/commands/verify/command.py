"""brainctl verify."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli.command import single
from brainctl.cli.progress import keys, on_terminal, progress
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.cli.store_urls import Pd, TikvPrefix, compacted
from brainctl.client.failure import CommandFailed
from brainctl.clock import SystemClock
from brainctl.errors import BadArguments, ExitCode, Unsupported

if TYPE_CHECKING:
    from brainctl.commands.verify.opening import Opening
    from brainctl.verify.scope import Scope


class VerifyOptions(NamedTuple):
    """Options of `brainctl verify`: the stores, and how strictly to compare."""

    source: str
    target: str
    pd: str
    tikv_prefix: str
    live: bool
    leases: bool
    max_lag: int = 0
    auth: bool = True
    prefix: str = ""
    exclude: tuple[str, ...] = ()
    mapping: tuple[str, str] | None = None
    values_only: bool = False
    export: str = ""

    def scope(self) -> "Scope":
        """Return which keys are compared."""
        from brainctl.verify.scope import Mapping, Scope

        mapping = Mapping(_bytes(self.mapping[0]), _bytes(self.mapping[1])) if self.mapping else None
        return Scope(_bytes(self.prefix), tuple(map(_bytes, self.exclude)), mapping, self.values_only)


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
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="string", help="compare only keys that start with this")
    ] = "",
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="string", help="leave out keys that start with this; may be repeated"),
    ] = None,
    map_prefix: Annotated[
        str,
        typer.Option(
            "--map-prefix",
            metavar="OLD=NEW",
            help="compare keys under OLD in --from with those under NEW in --to",
        ),
    ] = "",
    values_only: Annotated[
        bool,
        typer.Option("--values-only", help="compare keys and values only, for copies that do not keep revisions"),
    ] = False,
    export: Annotated[
        str,
        typer.Option(
            "--export", metavar="FILE", help="write a list of the keys of --from with hashes, to compare with later"
        ),
    ] = "",
) -> VerifyOptions:
    """Compare two stores: every key, value, create and mod revision, version and lease, and the users and roles.

    A store is a URL, a snapshot or a data directory of etcd, a backup, or a list that --export has written.

    Users and roles are shown to users with the role root only; --no-auth leaves them out. Keys are compared at the
    newest revision that both have. A side that has not reached the other's newest revision is different by what it
    lacks, unless --max-lag allows it, or --live while both move and the distance does not grow. Exit code 0 says
    equal, 7 says different.
    """
    if not source or bool(target) == bool(export):
        raise BadArguments("verify needs --from STORE, and --to STORE or --export FILE")
    if export and (map_prefix or values_only):
        raise BadArguments("--map-prefix and --values-only are for a comparison, not for --export")
    old, equals, new = map_prefix.partition("=")
    if map_prefix and not equals:
        raise BadArguments("--map-prefix needs OLD=NEW")
    if map_prefix and prefix and not (old.startswith(prefix) or prefix.startswith(old)):
        raise BadArguments(f"no key starts both with --prefix {prefix} and with {old}, which --map-prefix names")
    lag = read_int(max_lag, "--max-lag")
    if lag < 0:
        raise BadArguments("--max-lag must be 0 at least")
    return VerifyOptions(
        source=source,
        target=target,
        pd=pd,
        tikv_prefix=tikv_prefix,
        live=live,
        leases=not no_leases,
        max_lag=lag,
        auth=not no_auth,
        prefix=prefix,
        exclude=tuple(exclude or ()),
        mapping=(old, new) if map_prefix else None,
        values_only=values_only,
        export=export,
    )


async def run(session: Session, order: VerifyOptions) -> None:
    """Compare, and report; or write a list."""
    from brainctl.commands.verify.opening import Opening

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported("verify reports in the formats simple and json")
    async with AsyncExitStack() as stack:
        opening = Opening(session, order.pd, order.tikv_prefix, order.scope(), stack)
        if order.export:
            await _export(session, order, opening)
        else:
            await _compare(session, order, opening)


async def _export(session: Session, order: VerifyOptions, opening: "Opening") -> None:
    """Write the list of the keys of a store."""
    from brainctl.commands.verify.lists import write_list

    written = await write_list(await opening.side(order.source, "--from"), order.scope(), order.export)
    session.say(
        f"{written.keys} keys and {written.leases} leases at revision {written.revision} listed in {order.export}, "
        f"state hash {written.hash.hex()}"
    )


async def _compare(session: Session, order: VerifyOptions, opening: "Opening") -> None:
    """Compare two sides, and report."""
    from brainctl.commands.verify.report import as_json, as_text, revisions
    from brainctl.verify.compare import Comparison

    expected = await opening.side(order.source, "--from")
    found = await opening.side(order.target, "--to")
    comparison = Comparison(
        expected,
        found,
        SystemClock(),
        scope=order.scope(),
        live=order.live,
        leases=order.leases,
        auth=order.auth,
        max_lag=order.max_lag,
    )
    total = await opening.keys(expected) if on_terminal() else 0
    with (
        compacted(lambda: f"no revision can be read on both sides: {revisions(comparison.newest)}"),
        progress("comparing", keys) as shown,
    ):
        comparison.on_progress = lambda compared: shown(compared, total)
        report = await comparison.run()
    session.write(as_json(report) if session.settings.write_out == "json" else as_text(report))
    if not report.equal:
        some = "1 difference" if report.different == 1 else f"{report.different} differences"
        raise CommandFailed(f"{some} at revision {report.revision}", ExitCode.DIFFERENT)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


app = single("verify", parse, run)
