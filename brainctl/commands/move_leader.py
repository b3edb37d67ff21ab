"""brainctl move-leader."""

from typing import Annotated

import typer

from brainctl.cli.command import single
from brainctl.cli.endpoints import endpoints, one
from brainctl.cli.options import member_id
from brainctl.cli.session import Session
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import Done


def parse(args: Annotated[list[str] | None, typer.Argument(metavar="ID", show_default=False)] = None) -> int:
    """Make the member ID (in hexadecimal) the leader. The present leader must be among --endpoints."""
    if args is None or len(args) != 1:
        raise BadArguments("move-leader command needs 1 argument")
    return member_id(args[0])


async def run(session: Session, target: int) -> None:
    """Find the leader, which alone can do it, and ask it to."""
    asked = await endpoints(session, cluster=False)
    for endpoint in asked:
        async with one(session, endpoint) as store:
            status = await store.status()
            if status.leader != status.header.member_id:
                continue
            request = pb.MoveLeaderRequest(targetID=target)
            response = await store.call("/etcdserverpb.Maintenance/MoveLeader", request, pb.MoveLeaderResponse)
        text = f"Leadership transferred from {status.leader:x} to {target:x}\n"
        session.show(Done(text.encode(), response))
        return
    raise BadArguments(f"no leader endpoint given at [{' '.join(asked)}]")


app = single("move-leader", parse, run)
