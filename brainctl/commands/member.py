"""brainctl member list, add, remove, update, promote."""

import re
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import command, group
from brainctl.cli.options import Consistency, Passed, is_serializable, member_id, name_of
from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import Done
from brainctl.output.gotext import quote

MemberArgument = Annotated[list[str] | None, typer.Argument(metavar="ID", show_default=False)]
PeerUrls = Annotated[
    str, typer.Option("--peer-urls", metavar="URL[,...]", help="URLs at which the member listens to other members")
]


def parse_list(args: Passed = None, consistency: Consistency = "l") -> pb.MemberListRequest:
    """List the members of the cluster: ID, status, name, peer addresses, client addresses, whether a learner."""
    del args
    return pb.MemberListRequest(linearizable=not is_serializable(consistency))


async def list_members(session: Session, request: pb.MemberListRequest) -> None:
    """Ask and show them."""
    async with session.open() as store:
        session.show(await store.call("/etcdserverpb.Cluster/MemberList", request, pb.MemberListResponse))


class NewMember(NamedTuple):
    """Options of `brainctl member add`: the member; its name is for the configuration that is printed."""

    name: str
    peer_urls: str
    """URLs as they were typed."""
    learner: bool


def parse_add(
    args: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    peer_urls: PeerUrls = "",
    learner: Annotated[
        bool, typer.Option("--learner", help="add the member as a learner, which votes once it is promoted")
    ] = False,
) -> NewMember:
    """Add a member, and print the variables with which its etcd is to be started under NAME."""
    if not args:
        raise BadArguments("member name not provided")
    if len(args) > 1:
        meant = [f", did you mean --peer-urls={word}" for word in args if word.lower().startswith("http")]
        raise BadArguments("too many arguments" + "".join(meant))
    if not peer_urls:
        raise BadArguments("member peer urls not provided")
    return NewMember(name_of(args[0]), name_of(peer_urls), learner)


async def add(session: Session, plan: NewMember) -> None:
    """Add the member."""
    request = pb.MemberAddRequest(peerURLs=_urls(plan.peer_urls), isLearner=plan.learner)
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Cluster/MemberAdd", request, pb.MemberAddResponse)
    session.show(Done(_added(plan, response).encode(), response))


def _added(plan: NewMember, response: pb.MemberAddResponse) -> str:
    member = response.member
    kind = " as learner " if member.isLearner else " "
    cluster = ",".join(
        f"{plan.name if one.ID == member.ID else one.name}={url}" for one in response.members for url in one.peerURLs
    )
    return (
        f"Member {member.ID:16x} added{kind}to cluster {response.header.cluster_id:16x}\n\n"
        f"ETCD_NAME={quote(plan.name.encode())}\n"
        f"ETCD_INITIAL_CLUSTER={quote(cluster.encode())}\n"
        f"ETCD_INITIAL_ADVERTISE_PEER_URLS={quote(plan.peer_urls.encode())}\n"
        'ETCD_INITIAL_CLUSTER_STATE="existing"\n'
    )


def parse_remove(args: MemberArgument = None) -> pb.MemberRemoveRequest:
    """Remove the member ID (in hexadecimal)."""
    return pb.MemberRemoveRequest(ID=_id(args))


async def remove(session: Session, request: pb.MemberRemoveRequest) -> None:
    """Remove the member."""
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Cluster/MemberRemove", request, pb.MemberRemoveResponse)
    session.show(Done(_changed(request.ID, "removed from", response.header), response))


def parse_update(args: MemberArgument = None, peer_urls: PeerUrls = "") -> pb.MemberUpdateRequest:
    """Give the member ID (in hexadecimal) other peer addresses."""
    member = _id(args)
    if not peer_urls:
        raise BadArguments("member peer urls not provided")
    return pb.MemberUpdateRequest(ID=member, peerURLs=_urls(name_of(peer_urls)))


async def update(session: Session, request: pb.MemberUpdateRequest) -> None:
    """Change the peer URLs of the member."""
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Cluster/MemberUpdate", request, pb.MemberUpdateResponse)
    session.show(Done(_changed(request.ID, "updated in", response.header), response))


def parse_promote(args: MemberArgument = None) -> pb.MemberPromoteRequest:
    """Make the learner ID (in hexadecimal) a member that votes."""
    return pb.MemberPromoteRequest(ID=_id(args))


async def promote(session: Session, request: pb.MemberPromoteRequest) -> None:
    """Promote the learner to a voting member."""
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Cluster/MemberPromote", request, pb.MemberPromoteResponse)
    session.show(Done(_changed(request.ID, "promoted in", response.header), response))


def _id(args: list[str] | None) -> int:
    if args is None or len(args) != 1:
        raise BadArguments("member ID is not provided")
    return member_id(args[0], "bad member ID arg ({}), expecting ID in Hex")


def _urls(text: str) -> list[str]:
    """Return the URLs of a list with commas.

    Raises:
        CommandFailed: one is not the URL of a socket; the text is etcdctl's.
    """
    urls = text.split(",")
    for url in urls:
        scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*):", url)
        if scheme is None and ":" in url.partition("/")[0]:
            raise CommandFailed(f'parse "{url}": first path segment in URL cannot contain colon')
        if scheme is None or scheme[1].lower() not in ("http", "https", "unix", "unixs"):
            raise CommandFailed(f"URL scheme must be http, https, unix, or unixs: {url}")
        if scheme[1].lower() in ("http", "https"):
            _check_host(url)
    return urls


def _check_host(url: str) -> None:
    host, slash, _ = url.partition("://")[2].partition("/")
    if ":" not in host:
        raise CommandFailed(f'URL address does not have the form "host:port": {url}')
    if slash:
        raise CommandFailed(f"URL must not contain a path: {url}")


def _changed(member: int, how: str, header: pb.ResponseHeader) -> bytes:
    return f"Member {member:16x} {how} cluster {header.cluster_id:16x}\n".encode()


app = group("List and change the members.")
app.command("list")(command(parse_list, list_members))
app.command("add")(command(parse_add, add))
app.command("remove")(command(parse_remove, remove))
app.command("update")(command(parse_update, update))
app.command("promote")(command(parse_promote, promote))
