"""brainctl alarm list, disarm."""

from typing import Annotated

import typer

from brainctl.cli.command import command, group
from brainctl.cli.session import Session
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.alarms import ALARM, alarms

NoArguments = Annotated[list[str] | None, typer.Argument(hidden=True)]


def parse_list(args: NoArguments = None) -> None:
    """List the alarms."""
    if args:
        raise BadArguments("alarm list command accepts no arguments")


async def list_alarms(session: Session, plan: None) -> None:
    """Ask and show them."""
    del plan
    async with session.open() as store:
        session.show(await alarms(store))


def parse_disarm(args: NoArguments = None) -> None:
    """Disarm all alarms."""
    if args:
        raise BadArguments("alarm disarm command accepts no arguments")


async def disarm(session: Session, plan: None) -> None:
    """Disarm those that are raised, one by one, and show them."""
    del plan
    async with session.open() as store:
        disarmed = pb.AlarmResponse()
        for alarm in (await alarms(store)).alarms:
            request = pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm)
            disarmed.alarms.extend((await store.call(ALARM, request, pb.AlarmResponse)).alarms)
        session.show(disarmed)


app = group("List and disarm alarms.")
app.command("list")(command(parse_list, list_alarms))
app.command("disarm")(command(parse_disarm, disarm))
