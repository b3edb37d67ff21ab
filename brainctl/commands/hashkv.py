"""brainctl hashkv."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import single
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.client.failure import CommandFailed, must_be_file
from brainctl.errors import ApiError
from brainctl.output.answers import FileHash


class HashOptions(NamedTuple):
    """Options of `brainctl hashkv`."""

    file: Path
    revision: int


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="FILE", show_default=False)] = None,
    rev: Annotated[
        str, typer.Option("--rev", metavar="int", help="hash the history up to this revision (0: the newest)")
    ] = "0",
) -> HashOptions:
    """Hash the history in a snapshot, or in a database file of etcd, as `endpoint hashkv` does at a server."""
    revision = read_int(rev, "--rev")
    if args is None or len(args) != 1:
        raise CommandFailed(f"accepts 1 arg(s), received {len(args or ())}")
    return HashOptions(Path(args[0]), revision)


def run(session: Session, plan: HashOptions) -> None:
    """Read it and show the hash."""
    from brainctl.backup.etcd_database import naming, open_database

    must_be_file(plan.file)
    try:
        with naming(plan.file):
            found = open_database(plan.file).hash_kv(plan.revision)
    except ApiError as error:  # there is no server that it could come from
        raise CommandFailed(str(error).removeprefix("etcdserver: ")) from None
    session.show(FileHash(found.hash, found.revision, found.compact_revision))


app = single("hashkv", parse, run)
