"""brainctl lease grant, revoke, timetolive, list, keep-alive."""

import asyncio
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import command, group
from brainctl.cli.options import Passed, decimal, lease_id
from brainctl.cli.session import Session
from brainctl.client.failure import refusal
from brainctl.errors import LEASE_NOT_FOUND, ApiError, BadArguments, ExitCode
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import Done, LeaseInfo

LeaseArgument = Annotated[list[str] | None, typer.Argument(metavar="LEASE", show_default=False)]


def parse_grant(
    args: Annotated[list[str] | None, typer.Argument(metavar="TTL", show_default=False)] = None,
) -> pb.LeaseGrantRequest:
    """Grant a lease of TTL seconds."""
    if args is None or len(args) != 1:
        raise BadArguments("lease grant command needs TTL argument")
    try:
        return pb.LeaseGrantRequest(TTL=decimal(args[0]))
    except BadArguments as error:
        raise BadArguments(f"bad TTL ({error})") from None


async def grant(session: Session, request: pb.LeaseGrantRequest) -> None:
    """Grant a lease and show its id."""
    async with session.open() as store:
        with refusal("failed to grant lease ({})"):
            session.show(await store.lease_grant(request))


def parse_revoke(args: LeaseArgument = None) -> int:
    """Revoke LEASE (in hexadecimal); its keys are deleted."""
    if args is None or len(args) != 1:
        raise BadArguments("lease revoke command needs 1 argument")
    return lease_id(args[0], "bad lease ID arg")


async def revoke(session: Session, lease: int) -> None:
    """Revoke the lease, which deletes its keys."""
    async with session.open() as store:
        with refusal("failed to revoke lease ({})"):
            response = await store.lease_revoke(pb.LeaseRevokeRequest(ID=lease))
    session.show(Done(b"lease %016x revoked\n" % lease, response))


def parse_timetolive(
    args: LeaseArgument = None,
    keys: Annotated[bool, typer.Option("--keys", help="also list the keys attached to the lease")] = False,
) -> pb.LeaseTimeToLiveRequest:
    """Show what remains of LEASE (in hexadecimal)."""
    if args is None or len(args) != 1:
        raise BadArguments("lease timetolive command needs lease ID as argument")
    return pb.LeaseTimeToLiveRequest(ID=lease_id(args[0], "bad lease ID arg"), keys=keys)


async def timetolive(session: Session, request: pb.LeaseTimeToLiveRequest) -> None:
    """Ask and show it."""
    async with session.open() as store:
        with refusal(exit_code=ExitCode.CONNECTION):
            session.show(LeaseInfo(await store.lease_time_to_live(request), request.keys))


def parse_list(args: Passed = None) -> None:
    """List all leases."""
    del args


async def list_leases(session: Session, plan: None) -> None:
    """List them."""
    del plan
    async with session.open() as store:
        with refusal(exit_code=ExitCode.CONNECTION):
            session.show(await store.leases())


class KeepAlive(NamedTuple):
    """Options of `brainctl lease keep-alive`: the lease, and whether to renew it just once."""

    lease: int
    once: bool


def parse_keep_alive(
    args: LeaseArgument = None,
    once: Annotated[bool, typer.Option("--once", help="renew the lease once and exit")] = False,
) -> KeepAlive:
    """Renew LEASE (in hexadecimal) again and again."""
    if args is None or len(args) != 1:
        raise BadArguments("lease keep-alive command needs lease ID as argument")
    return KeepAlive(lease_id(args[0], "bad lease ID arg"), once)


async def keep_alive(session: Session, plan: KeepAlive) -> None:
    """Renew it every third of its time, until it is gone."""
    async with session.open() as store:
        with refusal(exit_code=ExitCode.CONNECTION):
            response = await store.lease_keep_alive(plan.lease)
            if plan.once:
                if response.TTL <= 0:
                    raise ApiError(LEASE_NOT_FOUND)
                session.show(response)
                return
            while response.TTL > 0:
                session.show(response)
                await asyncio.sleep(response.TTL / 3)
                response = await store.lease_keep_alive(plan.lease)
    if session.settings.write_out == "simple":
        session.say(f"lease {plan.lease:016x} expired or revoked.")


app = group("Grant, renew and revoke leases.")
app.command("grant")(command(parse_grant, grant))
app.command("revoke")(command(parse_revoke, revoke))
app.command("timetolive")(command(parse_timetolive, timetolive))
app.command("list")(command(parse_list, list_leases))
app.command("keep-alive")(command(parse_keep_alive, keep_alive))
