"""brainctl put."""

from typing import Annotated, NamedTuple

import typer

from brainctl.cli import interrupt, streams
from brainctl.cli.command import single
from brainctl.cli.options import PrevKv, lease_id, raw
from brainctl.cli.session import Session
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb

WRONG = "put command needs 1 argument and input from stdin or 2 arguments"


class Put(NamedTuple):
    """Options of `brainctl put`."""

    request: pb.PutRequest
    from_stdin: bool
    """The value is what standard input has."""


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="KEY [VALUE]", show_default=False)] = None,
    lease: Annotated[
        str,
        typer.Option("--lease", metavar="LEASE", help="ID of the lease to attach the key to, in hexadecimal (0: none)"),
    ] = "0",
    prev_kv: PrevKv = False,
    ignore_value: Annotated[bool, typer.Option("--ignore-value", help="keep the current value of the key")] = False,
    ignore_lease: Annotated[bool, typer.Option("--ignore-lease", help="keep the current lease of the key")] = False,
) -> Put:
    """Put KEY, with VALUE or with what standard input has.

    A VALUE that starts with '-' goes behind '--': put KEY -- VALUE.
    """
    if not args:
        raise BadArguments(WRONG)
    if ignore_value and len(args) > 1:
        raise BadArguments("put command needs only 1 argument when 'ignore-value' is set")
    request = pb.PutRequest(
        key=raw(args[0]),
        value=raw(args[1]) if len(args) > 1 else b"",
        lease=lease_id(lease, "bad lease ID"),
        prev_kv=prev_kv,
        ignore_value=ignore_value,
        ignore_lease=ignore_lease,
    )
    return Put(request, from_stdin=len(args) == 1 and not ignore_value)


async def run(session: Session, plan: Put) -> None:
    """Put it."""
    if plan.from_stdin:
        with interrupt.asking():
            plan.request.value = streams.read()
        if not plan.request.value:
            raise BadArguments(WRONG)
    async with session.open() as store:
        session.show(await store.put(plan.request))


app = single("put", parse, run)
