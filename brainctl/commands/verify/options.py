"""The options of brainctl verify."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli.byte_sizes import read_bytes
from brainctl.cli.settings import read_duration, read_int
from brainctl.cli.store_urls import Pd, TikvPrefix
from brainctl.errors import BadArguments

if TYPE_CHECKING:
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
    members: bool = False
    own_log: bool = False
    history: bool = False
    rate: int = 0
    interval: float | None = None
    """Seconds between two comparisons; None for a single one."""
    exit_on_difference: bool = False
    html: str = ""
    metrics: str = ""
    differences: str = ""
    checkpoint: str = ""
    fix: bool = False
    yes: bool = False

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
    members: Annotated[
        bool,
        typer.Option("--members", help="compare the members at --endpoints, instead of --from and --to"),
    ] = False,
    own_log: Annotated[
        bool, typer.Option("--own-log", help="compare --from with what a replay of its own log gives")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="compare every revision that both still have, too")
    ] = False,
    rate: Annotated[
        str, typer.Option("--rate", metavar="bytes", help="limit for reads, in bytes per second, such as 20MB")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", help="compare again and again, until Ctrl-C")] = False,
    interval: Annotated[
        str, typer.Option("--interval", metavar="duration", help="time between two comparisons of --follow")
    ] = "10m",
    exit_on_difference: Annotated[
        bool, typer.Option("--exit-on-difference", help="end --follow when a comparison finds a difference")
    ] = False,
    html: Annotated[
        str, typer.Option("--html", metavar="FILE", help="write the report as a page that needs no other file, too")
    ] = "",
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="FILE",
            help="write metrics for the textfile collector of node_exporter after each round",
        ),
    ] = "",
    differences: Annotated[
        str,
        typer.Option("--differences", metavar="FILE", help="write all differences to a file, as lines of JSON"),
    ] = "",
    checkpoint: Annotated[
        str,
        typer.Option("--checkpoint", metavar="FILE", help="keep the progress in a file, and go on where it says"),
    ] = "",
    fix: Annotated[
        bool, typer.Option("--fix", help="show what makes --to equal in values and leases, and write it when confirmed")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before --fix writes")] = False,
) -> VerifyOptions:
    """Compare two stores: every key, value, create and mod revision, version and lease, and the users and roles.

    A store is a URL, a snapshot or a data directory of etcd, a backup, or a list that --export has written.

    Users and roles are shown to users with the role root only; --no-auth leaves them out. Keys are compared at the
    newest revision that both have. A side that has not reached the other's newest revision is different by what it
    lacks, unless --max-lag allows it, or --live while both move and the distance does not grow. Exit code 0 says
    equal, 7 says different.
    """
    _check_sides(source, target, export, members=members, own_log=own_log)
    mapping = _mapping(map_prefix, prefix)
    parts = bool(prefix or exclude or mapping or values_only)
    if export and (mapping or values_only):
        raise BadArguments("--map-prefix and --values-only are for a comparison, not for --export")
    if (own_log and parts) or (history and (mapping or values_only)):
        raise BadArguments("--own-log compares whole stores, and --history neither moved copies nor values only")
    if (checkpoint or fix) and (follow or members or own_log or history):
        raise BadArguments("--checkpoint and --fix go with one comparison of --from and --to, without --history")
    if checkpoint and values_only:
        raise BadArguments("--checkpoint needs one revision to go on at, which --values-only does not have")
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
        mapping=mapping,
        values_only=values_only,
        export=export,
        members=members,
        own_log=own_log,
        history=history,
        rate=read_bytes(rate, "--rate") if rate else 0,
        interval=read_duration(interval, "--interval") if follow else None,
        exit_on_difference=exit_on_difference,
        html=html,
        metrics=metrics,
        differences=differences,
        checkpoint=checkpoint,
        fix=fix,
        yes=yes,
    )


def _check_sides(source: str, target: str, export: str, *, members: bool, own_log: bool) -> None:
    """Check that it is clear what is compared with what.

    Raises:
        BadArguments: It is not.
    """
    if members:
        if source or target or export or own_log:
            raise BadArguments(
                "--members compares the members at --endpoints, without --from, --to, --own-log and --export"
            )
    elif not source or sum((bool(target), bool(export), own_log)) != 1:
        raise BadArguments("verify needs --from STORE, and --to STORE, --own-log or --export FILE; or --members")


def _mapping(map_prefix: str, prefix: str) -> tuple[str, str] | None:
    """Return the two sides of --map-prefix; None when it is not given.

    Raises:
        BadArguments: It is malformed, or means no key of --prefix.
    """
    if not map_prefix:
        return None
    old, equals, new = map_prefix.partition("=")
    if not equals:
        raise BadArguments("--map-prefix needs OLD=NEW")
    if not (old.startswith(prefix) or prefix.startswith(old)):
        raise BadArguments(f"no key starts both with --prefix {prefix} and with {old}, which --map-prefix names")
    return old, new


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
