"""brainctl member list."""

from brainctl.commands._command import command, group
from brainctl.commands._options import Consistency, is_serializable
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.session import Session


def parse_list(consistency: Consistency = "l") -> pb.MemberListRequest:
    """List the members of the cluster: ID, status, name, peer addresses, client addresses, whether a learner."""
    return pb.MemberListRequest(linearizable=not is_serializable(consistency))


async def list_members(session: Session, request: pb.MemberListRequest) -> None:
    """Ask and show them."""
    async with session.open() as store:
        session.show(await store.call("/etcdserverpb.Cluster/MemberList", request, pb.MemberListResponse))


app = group("List the members.")
app.command("list")(command(parse_list, list_members))
