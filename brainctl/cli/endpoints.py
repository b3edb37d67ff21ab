"""Commands that ask each endpoint by itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed, exit_of
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store


async def endpoints(session: Session, *, cluster: bool) -> list[str]:
    """Return the endpoints to ask: those of --endpoints, or with `cluster` those of the member list.

    With --store it is the URL of the store alone.

    Raises:
        CommandFailed: the member list cannot be fetched.
    """
    session.require_tls_files()
    if session.settings.store:
        return [session.settings.store]
    if not cluster:
        return list(session.settings.endpoints)
    request = pb.MemberListRequest(linearizable=True)
    async with session.open() as store:
        try:
            response = await store.call("/etcdserverpb.Cluster/MemberList", request, pb.MemberListResponse)
        except BrainctlError as error:
            text = f"failed to fetch endpoints from etcd cluster member list: {error}"
            raise CommandFailed(text, exit_of([error])) from error
    return [url for member in response.members for url in member.clientURLs]


@asynccontextmanager
async def one(session: Session, endpoint: str) -> AsyncIterator[Store]:
    """Open the store at one of those endpoints, and close it at the end of the block."""
    is_store = endpoint == session.settings.store
    async with session.open(url=endpoint if is_store else "", endpoint="" if is_store else endpoint) as store:
        yield store
