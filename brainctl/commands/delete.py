"""brainctl del."""

import asyncio
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import single
from brainctl.cli.options import FromKey, Prefix, PrevKv, range_end, raw
from brainctl.cli.session import Session
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.gotext import quote

GRACE_SECONDS = 2
"""Seconds in which a range that was perhaps not meant can still be saved."""


class Deletion(NamedTuple):
    """Options of `brainctl del`: the keys to delete, and the warning that comes first."""

    request: pb.DeleteRangeRequest
    warning: str


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="KEY [RANGE_END]", show_default=False)] = None,
    prefix: Prefix = False,
    prev_kv: PrevKv = False,
    from_key: FromKey = False,
    range_: Annotated[bool, typer.Option("--range", help="do not warn that two keys are taken as a range")] = False,
) -> Deletion:
    """Delete KEY, or the keys from KEY up to RANGE_END."""
    if not args or len(args) > 2:
        raise BadArguments("del command needs one argument as key and an optional argument as range_end")
    if prefix and from_key:
        raise BadArguments("`--prefix` and `--from-key` cannot be set at the same time, choose one")
    if len(args) > 1 and (prefix or from_key):
        raise BadArguments("too many arguments, only accept one argument when `--prefix` or `--from-key` is set")
    key, end = range_end(raw(args[0]), prefix=prefix, from_key=from_key)
    warning = ""
    if len(args) > 1:
        end = raw(args[1])
        if not range_:
            warning = (
                f"Warning: Keys between {quote(key)} and {quote(end)} will be deleted. "
                f"Please interrupt the command within next {GRACE_SECONDS} seconds to cancel. "
                "You can provide `--range` flag to avoid the delay."
            )
    return Deletion(pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=prev_kv), warning)


async def run(session: Session, deletion: Deletion) -> None:
    """Warn, wait for second thoughts, delete."""
    await hesitate(session, deletion)
    async with session.open() as store:
        session.show(await store.delete_range(deletion.request))


async def hesitate(session: Session, deletion: Deletion) -> None:
    """Give the user time to interrupt a deletion that may be a mistake: two words where a range is rarely meant."""
    if deletion.warning:
        session.warn(deletion.warning)
        await asyncio.sleep(GRACE_SECONDS)


app = single("del", parse, run)
