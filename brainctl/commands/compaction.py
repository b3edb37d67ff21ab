"""brainctl compaction."""

from typing import Annotated

import typer

from brainctl.cli.command import single
from brainctl.cli.options import decimal
from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="REVISION", show_default=False)] = None,
    physical: Annotated[
        bool, typer.Option("--physical", help="wait until the compacted revisions are physically removed")
    ] = False,
) -> pb.CompactionRequest:
    """Drop the history before REVISION."""
    if args is None or len(args) != 1:
        raise BadArguments("compaction command needs 1 argument")
    try:
        revision = decimal(args[0])
    except BadArguments as error:
        raise CommandFailed(str(error)) from None
    return pb.CompactionRequest(revision=revision, physical=physical)


async def run(session: Session, request: pb.CompactionRequest) -> None:
    """Compact."""
    async with session.open() as store:
        await store.compact(request)
    session.say(f"compacted revision {request.revision}")


app = single("compaction", parse, run)
