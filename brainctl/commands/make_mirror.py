"""brainctl make-mirror."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import single
from brainctl.cli.options import raw
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.cli.store_urls import compacted
from brainctl.client.mirror import Mirror, Renaming
from brainctl.errors import BadArguments
from brainctl.stores.contexts import require_files
from brainctl.stores.etcd.target import EtcdTarget, Tls
from brainctl.stores.registry import open_store
from brainctl.stores.urls import canonical

PROGRESS_SECONDS = 30.0
_GONE = "the history that the mirror needs is gone: start it again, or use `brainctl migrate`, which resumes"


class Destination(NamedTuple):
    """Destination of the copy, with its credentials."""

    store: str
    tls: Tls
    user: str
    password: str


class MirrorOptions(NamedTuple):
    """Options of `brainctl make-mirror`: the keys to copy, and the destination."""

    destination: Destination
    renaming: Renaming
    revision: int
    max_ops: int


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="DESTINATION", show_default=False)] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="string", help="copy only keys that start with this prefix")
    ] = "",
    rev: Annotated[
        str, typer.Option("--rev", metavar="int", help="copy only changes from this revision on (0: all keys first)")
    ] = "0",
    dest_prefix: Annotated[
        str,
        typer.Option(
            "--dest-prefix", metavar="string", help="prefix that replaces --prefix at the destination [--prefix]"
        ),
    ] = "",
    no_dest_prefix: Annotated[
        bool, typer.Option("--no-dest-prefix", help="remove --prefix from the keys at the destination")
    ] = False,
    max_txn_ops: Annotated[
        str, typer.Option("--max-txn-ops", metavar="uint", help="maximum number of changes in one transaction")
    ] = "128",
    dest_cert: Annotated[
        str, typer.Option("--dest-cert", metavar="FILE", help="client certificate for the destination, a PEM file")
    ] = "",
    dest_key: Annotated[
        str, typer.Option("--dest-key", metavar="FILE", help="private key of --dest-cert, a PEM file")
    ] = "",
    dest_cacert: Annotated[
        str,
        typer.Option("--dest-cacert", metavar="FILE", help="CA certificates that verify the destination, a PEM file"),
    ] = "",
    dest_insecure_transport: Annotated[
        bool,
        typer.Option(
            "--dest-insecure-transport/--no-dest-insecure-transport",
            help="connect to the destination without TLS where neither its scheme nor a --dest certificate asks for it",
        ),
    ] = True,
    dest_user: Annotated[
        str,
        typer.Option(
            "--dest-user", metavar="NAME[:PASSWORD]", help="user at the destination; a missing password is asked for"
        ),
    ] = "",
    dest_password: Annotated[
        str, typer.Option("--dest-password", metavar="string", help="the password of --dest-user")
    ] = "",
) -> MirrorOptions:
    """Copy keys and values to DESTINATION (HOST:PORT or a store's URL), then follow the changes until it is stopped.

    Revisions, versions, leases and what was deleted before a restart are not carried over: `brainctl migrate` does
    that, resumes after a failure, and compares the stores. Every 30 seconds the number of copied changes is shown.
    """
    revision = read_int(rev, "--rev")
    ops = read_int(max_txn_ops, "--max-txn-ops")
    if args is None or len(args) != 1:
        raise BadArguments("make-mirror takes one destination argument")
    if no_dest_prefix and dest_prefix:
        raise BadArguments("`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one")
    if ops < 1:
        raise BadArguments("--max-txn-ops must be 1 at least")
    tls = Tls(dest_cert, dest_key, dest_cacert, required=not dest_insecure_transport)
    instead = "" if no_dest_prefix else dest_prefix or prefix
    renaming = Renaming(raw(prefix), raw(instead))
    return MirrorOptions(Destination(args[0], tls, dest_user, dest_password), renaming, revision, ops)


async def run(session: Session, plan: MirrorOptions) -> None:
    """Copy, and show how much, until SIGINT."""
    destination = plan.destination
    url = canonical(destination.store)
    url = url if "://" in url else f"etcd://{url}"
    async with session.open(admission=session.copying) as source:
        target = await open_store(url, _target(session, destination), create=True, admission=session.admission)
        mirror = Mirror(source, target, plan.renaming, plan.max_ops)
        progress = asyncio.ensure_future(_show(session, mirror))
        try:
            with compacted(lambda: _GONE):
                await mirror.follow(plan.revision if plan.revision > 1 else await mirror.base() + 1)
        finally:
            progress.cancel()
            with suppress(asyncio.CancelledError):
                await progress
            await target.close()


def _target(session: Session, destination: Destination) -> EtcdTarget:
    user, password = destination.user, destination.password
    if user and not password:
        user, colon, password = user.partition(":")
        if not colon:
            password = session.ask("Destination Password: ")
    require_files(destination.tls)
    return replace(session.target(), tls=destination.tls, user=user, password=password, token="")


async def _show(session: Session, mirror: Mirror) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        session.say(str(mirror.copied))


app = single("make-mirror", parse, run)
