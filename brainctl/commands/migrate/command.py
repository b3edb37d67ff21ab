"""brainctl migrate."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli.command import single
from brainctl.cli.session import Session
from brainctl.cli.settings import read_duration
from brainctl.cli.store_urls import Pd, TikvPrefix, compacted, must_exist, place
from brainctl.client.failure import CommandFailed
from brainctl.commands.migrate.overwriting import confirm
from brainctl.errors import BadArguments, BrainctlError, ExitCode, Unsupported
from brainctl.migrate.machine.record import History
from brainctl.migrate.machine.resume import CutOver
from brainctl.migrate.machine.state import Goal
from brainctl.migrate.options import MigrateOptions
from brainctl.stores.schemes import TIKV, Can, forms
from brainctl.stores.urls import parse as parse_url

if TYPE_CHECKING:
    from brainctl.migrate.migrator import Migrator
    from brainctl.migrate.report import MigrationReport


_NEEDED = "migrate needs --from STORE and --to STORE"
WHAT = ("plan", "status")
"""Questions about a migration, instead of running it."""


class Order(NamedTuple):
    """Options of `brainctl migrate`: the stores, and how far to go."""

    what: str
    """"plan" or "status"; "" for the migration itself."""
    source: str
    target: str
    pd: str
    tikv_prefix: str
    yes: bool
    """Empty a target without a question."""
    options: MigrateOptions


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="[plan|status]", show_default=False)] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="STORE",
            help=f"the store to copy: etcd (that of --endpoints), {forms(Can.SOURCE, 'or')}",
        ),
    ] = "",
    target: Annotated[
        str,
        typer.Option(
            "--to", metavar="STORE", help=f"the store to copy into: tikv (that of --pd), {forms(Can.TARGET, 'or')}"
        ),
    ] = "",
    pd: Pd = "",
    tikv_prefix: TikvPrefix = "",
    history: Annotated[
        str, typer.Option("--history", metavar="all|none", help="history to copy: all that is not compacted, or none")
    ] = "all",
    until_synced: Annotated[
        bool, typer.Option("--until-synced", help="exit once the target has everything (default)")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="keep copying changes until SIGINT or SIGTERM")] = False,
    cutover: Annotated[
        bool, typer.Option("--cutover", help="sync, freeze the source, compare both sides, and commit the target")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="empty the target and start over; asks first if it holds data")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before --overwrite empties the target")] = False,
    even_if_served: Annotated[
        bool,
        typer.Option(
            "--even-if-served",
            help="take a tikv:// target over from the process that serves or overwrites it, which ends",
        ),
    ] = False,
    freeze_hook: Annotated[
        str,
        typer.Option(
            "--freeze-hook", metavar="COMMAND", help="command that stops the writers of the source, for --cutover"
        ),
    ] = "",
    unfreeze_hook: Annotated[
        str,
        typer.Option(
            "--unfreeze-hook", metavar="COMMAND", help="command that lets the writers go on when a cutover ends early"
        ),
    ] = "",
    writers_are_stopped: Annotated[
        bool,
        typer.Option(
            "--writers-are-stopped",
            help="promise that nobody writes to the source, for --cutover without --freeze-hook",
        ),
    ] = False,
    freeze_timeout: Annotated[
        str,
        typer.Option(
            "--freeze-timeout", metavar="duration", help="time limit for a hook, and for the writers to stop after it"
        ),
    ] = "30s",
    retry_for: Annotated[
        str,
        typer.Option("--retry-for", metavar="duration", help="time to retry a source or target that cannot be reached"),
    ] = "5m",
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="do not copy users, roles and whether authentication is on")
    ] = False,
) -> Order:
    """Copy a store into another one while it is in use, with revisions, versions and leases.

    The target remembers how far it is: the same command goes on where the last one ended, however it ended.

    With `plan` it writes nothing: it looks at both sides and says what stands in the way of the same command without
    `plan`, and what will not come along; the exit code is the one with which the migration would end. With `status` it
    shows how far the migration into --to is, while it runs or afterwards.
    """
    what = " ".join(args or ())
    if what not in ("", *WHAT):
        raise BadArguments(f"migrate does not know {what!r}: plan and status can be asked for")
    if not target or not (source or what == "status"):
        raise BadArguments("migrate status needs --to STORE" if what == "status" else _NEEDED)
    if follow + cutover + until_synced > 1:
        raise BadArguments("`--until-synced`, `--follow` and `--cutover` exclude each other, choose one")
    if freeze_hook and not cutover:
        raise BadArguments("`--freeze-hook` is for --cutover")
    if writers_are_stopped and not cutover:
        raise BadArguments("`--writers-are-stopped` is for --cutover")
    if cutover and not freeze_hook and not writers_are_stopped and not what:
        raise BadArguments(
            "--cutover needs --freeze-hook COMMAND, which stops the writers of the source, or --writers-are-stopped: "
            "what is written to the source after the cutover is lost"
        )
    if history not in tuple(History):
        raise BadArguments(f"--history is all or none, not {history!r}")
    options = MigrateOptions(
        History(history),
        Goal.FOLLOW if follow else Goal.CUTOVER if cutover else Goal.SYNCED,
        overwrite,
        even_if_served,
        freeze_hook,
        unfreeze_hook,
        read_duration(freeze_timeout, "--freeze-timeout"),
        read_duration(retry_for, "--retry-for"),
        not no_auth,
    )
    return Order(what, source, target, pd, tikv_prefix, yes, options)


async def run(session: Session, order: Order) -> None:
    """Migrate and report, or say what was asked about the migration."""
    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported("migrate reports in the formats simple and json")
    target = place(session, order.target, "--to", order.pd, order.tikv_prefix)
    if order.what == "status":
        from brainctl.commands.migrate.status import status

        await status(session, target)
        return
    source = place(session, order.source, "--from", order.pd, order.tikv_prefix)
    if source == target:
        raise BadArguments("--from and --to are the same store")
    must_exist(source)
    if order.what == "plan":
        from brainctl.commands.migrate.plan import plan

        await plan(session, source, target, order.options)
        return
    if order.options.overwrite and not order.yes:
        await confirm(target, even_if_served=order.options.even_if_served)
    await _run(session, source, target, order.options)


async def _run(session: Session, source: str, target: str, options: MigrateOptions) -> None:
    """Migrate, and report.

    Raises:
        CommandFailed: The migration ended before its goal.
    """
    from brainctl.commands.migrate.report_view import as_json, as_text

    signals: list[int] = []
    try:
        report, differences = await _migrate(session, source, target, options, signals)
    except CutOver as done:
        if options.goal is not Goal.CUTOVER:
            raise
        session.warn(str(done))
        return
    except BrainctlError as error:
        if signals and error.passing:
            raise CommandFailed(f"stopped while it waited: {error}", ExitCode(128 + signals[0])) from error
        raise
    session.write(as_json(report) if session.settings.write_out == "json" else as_text(report))
    if report.reason:
        code = ExitCode.DIFFERENT if differences else ExitCode.ERROR
        raise CommandFailed(f"the cutover was given up: {report.reason}", code)
    if signals and options.goal is not Goal.FOLLOW:
        raise CommandFailed(
            f"stopped at revision {report.revision}; the same command goes on from there", ExitCode(128 + signals[0])
        )


async def _migrate(
    session: Session, source: str, target: str, options: MigrateOptions, signals: list[int]
) -> "tuple[MigrationReport, int]":
    """Migrate while its progress is shown, and return the report and the number of differences of the cutover."""
    from brainctl.commands.migrate.progress_view import display
    from brainctl.migrate.migrator import Migrator

    if TIKV in (parse_url(source).scheme, parse_url(target).scheme):
        from brainctl.tikv.client.panics import divert_panics

        divert_panics()  # before Rich takes standard error
    with display() as shown:
        migrator = Migrator(source, target, options, observer=shown, etcd=session.reach(), admission=session.copying)
        with _stopping(migrator, signals), compacted(lambda: "the source compacts faster than it can be copied"):
            return await migrator.run(), migrator.differences


@contextmanager
def _stopping(migrator: "Migrator", came: list[int]) -> Iterator[None]:
    """Let SIGINT and SIGTERM stop the migration in order while the block runs; their numbers are added to `came`."""
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        came.append(number)
        migrator.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


app = single("migrate", parse, run)
