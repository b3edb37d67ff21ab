"""brainctl downgrade validate, enable, cancel."""

from typing import Annotated

import typer

from brainctl.cli.command import command, group
from brainctl.cli.options import name_of
from brainctl.cli.session import Session
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import Done

VersionArgument = Annotated[list[str] | None, typer.Argument(metavar="VERSION", show_default=False)]


def parse_validate(args: VersionArgument = None) -> pb.DowngradeRequest:
    """Ask whether the cluster could go back to VERSION (such as 3.6)."""
    return pb.DowngradeRequest(action=pb.DowngradeRequest.VALIDATE, version=_version(args))


def parse_enable(args: VersionArgument = None) -> pb.DowngradeRequest:
    """Prepare the cluster for going back to VERSION (such as 3.6)."""
    return pb.DowngradeRequest(action=pb.DowngradeRequest.ENABLE, version=_version(args))


def parse_cancel(args: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> pb.DowngradeRequest:
    """Do not go back after all."""
    del args
    return pb.DowngradeRequest(action=pb.DowngradeRequest.CANCEL)


async def run(session: Session, request: pb.DowngradeRequest) -> None:
    """Ask the cluster, and show its version."""
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Maintenance/Downgrade", request, pb.DowngradeResponse)
    action = pb.DowngradeRequest.DowngradeAction.Name(request.action).lower()
    session.show(Done(f"Downgrade {action} success, cluster version {response.version}\n".encode(), response))


def _version(args: list[str] | None) -> str:
    if not args:
        raise BadArguments("TARGET_VERSION not provided")
    if len(args) > 1:
        raise BadArguments("too many arguments")
    if not args[0]:
        raise BadArguments("target version not provided")
    return name_of(args[0])


app = group("Take a cluster back to an older version of etcd.")
app.command("validate")(command(parse_validate, run))
app.command("enable")(command(parse_enable, run))
app.command("cancel")(command(parse_cancel, run))
