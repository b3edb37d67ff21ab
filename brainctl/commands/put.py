"""brainctl put."""

from typing import Annotated

import typer

from brainctl.commands._command import single
from brainctl.commands._options import PrevKv, lease_id, raw, stdin_bytes
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.session import Session

_WRONG = "put command needs 1 argument and input from stdin or 2 arguments"


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="KEY [VALUE]", show_default=False)] = None,
    lease: Annotated[str, typer.Option("--lease", help="the lease (in hexadecimal) to attach the key to")] = "0",
    prev_kv: PrevKv = False,
    ignore_value: Annotated[bool, typer.Option("--ignore-value", help="keep the key's value")] = False,
    ignore_lease: Annotated[bool, typer.Option("--ignore-lease", help="keep the key's lease")] = False,
) -> pb.PutRequest:
    """Put KEY, with VALUE or with what standard input has.

    A VALUE that starts with '-' goes behind '--': put KEY -- VALUE.
    """
    if not args:
        raise BadArguments(_WRONG)
    if ignore_value and len(args) > 1:
        raise BadArguments("put command needs only 1 argument when 'ignore-value' is set")
    value = b""
    if not ignore_value:
        value = raw(args[1]) if len(args) > 1 else stdin_bytes()
        if not value and len(args) == 1:
            raise BadArguments(_WRONG)
    return pb.PutRequest(
        key=raw(args[0]),
        value=value,
        lease=lease_id(lease, "bad lease ID"),
        prev_kv=prev_kv,
        ignore_value=ignore_value,
        ignore_lease=ignore_lease,
    )


async def run(session: Session, request: pb.PutRequest) -> None:
    """Put it."""
    async with session.open() as store:
        session.show(await store.put(request))


app = single("put", parse, run)
