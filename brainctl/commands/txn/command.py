"""brainctl txn."""

import sys
from typing import Annotated

import typer

from brainctl.cli.command import single
from brainctl.cli.session import Session
from brainctl.commands.delete import hesitate
from brainctl.commands.txn.text import Request, lines, parse_compare, parse_request
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb


def parse(
    args: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    interactive: Annotated[
        bool, typer.Option("-i", "--interactive/--no-interactive", help="prompt for each part of the transaction")
    ] = False,
) -> bool:
    """Read a transaction from standard input and run it.

    Compares, one on each line, then an empty line; requests for when all of them hold, then an empty line; requests
    for when one does not, then an empty line:

        mod("key1") > "0"

        put key1 "changed"

        put key1 "created"
    """
    if args:
        raise BadArguments("txn command does not accept argument")
    return interactive


async def run(session: Session, interactive: bool) -> None:
    """Read it all, then send it. There is no time limit for reading."""

    def prompt(text: str) -> None:
        if interactive:
            session.say(text)

    prompt("compares:")
    compares = [parse_compare(line) for line in lines(sys.stdin.buffer)]
    prompt("success requests (get, put, del):")
    success = await _requests(session)
    prompt("failure requests (get, put, del):")
    failure = await _requests(session)
    request = pb.TxnRequest(compare=compares, success=success, failure=failure)
    async with session.open() as store:
        session.show(await store.txn(request))


async def _requests(session: Session) -> list[pb.RequestOp]:
    requests: list[Request] = []
    for line in lines(sys.stdin.buffer):
        request = parse_request(line)
        if request.deletion is not None:
            await hesitate(session, request.deletion)
        requests.append(request)
    return [request.op for request in requests]


app = single("txn", parse, run)
