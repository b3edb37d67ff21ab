"""brainctl auth enable, disable, status."""

from typing import Annotated

import typer

from brainctl.cli.command import command, group
from brainctl.cli.session import Session
from brainctl.errors import ROOT_ROLE_MISSING, ApiError, BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

NoArguments = Annotated[list[str] | None, typer.Argument(hidden=True)]
ROOT = "root"
"""The user without whom authentication cannot be turned on, and the role that makes it so."""


def parse_enable(args: NoArguments = None) -> None:
    """Turn authentication on. The user root must exist; it is given the role root when it lacks it."""
    _none(args, "enable")


async def enable(session: Session, plan: None) -> None:
    """Turn it on."""
    del plan
    async with session.open() as store:
        try:
            await _enable(store)
        except ApiError as error:
            if error.status != ROOT_ROLE_MISSING:
                raise
            await store.call("/etcdserverpb.Auth/RoleAdd", pb.AuthRoleAddRequest(name=ROOT), pb.AuthRoleAddResponse)
            grant = pb.AuthUserGrantRoleRequest(user=ROOT, role=ROOT)
            await store.call("/etcdserverpb.Auth/UserGrantRole", grant, pb.AuthUserGrantRoleResponse)
            await _enable(store)
    session.say("Authentication Enabled")


def parse_disable(args: NoArguments = None) -> None:
    """Turn authentication off; users and roles stay."""
    _none(args, "disable")


async def disable(session: Session, plan: None) -> None:
    """Turn it off."""
    del plan
    async with session.open() as store:
        await store.call("/etcdserverpb.Auth/AuthDisable", pb.AuthDisableRequest(), pb.AuthDisableResponse)
    session.say("Authentication Disabled")


def parse_status(args: NoArguments = None) -> None:
    """Show whether authentication is on, and how often users and roles have changed."""
    _none(args, "status")


async def status(session: Session, plan: None) -> None:
    """Ask and show it."""
    del plan
    async with session.open() as store:
        session.show(await store.call("/etcdserverpb.Auth/AuthStatus", pb.AuthStatusRequest(), pb.AuthStatusResponse))


async def _enable(store: Store) -> None:
    await store.call("/etcdserverpb.Auth/AuthEnable", pb.AuthEnableRequest(), pb.AuthEnableResponse)


def _none(args: list[str] | None, name: str) -> None:
    if args:
        raise BadArguments(f"auth {name} command does not accept any arguments")


app = group("Turn authentication on and off.")
app.command("enable")(command(parse_enable, enable))
app.command("disable")(command(parse_disable, disable))
app.command("status")(command(parse_status, status))
