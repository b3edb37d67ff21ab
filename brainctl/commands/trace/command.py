"""brainctl trace put."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli.command import command, group
from brainctl.cli.debug_request import fetch
from brainctl.cli.options import raw
from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.clock import SystemClock
from brainctl.commands.trace.lines import lines
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb

if TYPE_CHECKING:
    from brainctl.stores.store import Store

OUTSIDE = "outside"
"""The part of the round trip that the server knows nothing of."""


class Traced(NamedTuple):
    """Trace of one write."""

    revision: int
    round_trip: float
    """Microseconds, as the client saw it."""
    writes: int
    """Number of writes in its group commit."""
    stages: Mapping[str, float]
    """Microseconds; empty when the server does not tell."""


def parse_put(
    args: Annotated[list[str] | None, typer.Argument(metavar="KEY VALUE", show_default=False)] = None,
) -> pb.PutRequest:
    """Put KEY with VALUE, and show where the time went.

    A server tells it to its own machine only, over loopback; one that is not brainctl tells nothing. Of several
    endpoints the first is asked.
    """
    if args is None or len(args) != 2:
        raise BadArguments("trace put command needs a key and a value")
    return pb.PutRequest(key=raw(args[0]), value=raw(args[1]))


async def put(session: Session, request: pb.PutRequest) -> None:
    """Put it once the connection stands, then ask the server."""
    endpoint = "" if session.settings.store else session.settings.endpoints[0]
    async with session.open(endpoint=endpoint) as store:
        await store.range(pb.RangeRequest(key=request.key, count_only=True))
        clock = SystemClock()
        began = clock.monotonic()
        revision = (await store.put(request)).header.revision
        round_trip = 1e6 * (clock.monotonic() - began)
        found = await _describe(session, store, endpoint, revision)
    traced = Traced(revision, round(round_trip, 1), 0, {})
    if found is not None:
        writes, stages = found
        outside = round(round_trip - sum(stages.values()), 1)
        traced = traced._replace(writes=writes, stages={OUTSIDE: outside, **stages})
    _show(session, traced)


async def _describe(
    session: Session, store: "Store", endpoint: str, revision: int
) -> tuple[int, dict[str, float]] | None:
    """Return how many writes the group commit of a revision had, and microseconds by stage.

    It is None when the server does not tell; the reason was shown.
    """
    if (local := store.in_process) is not None:
        described = local.node.stages.describe(revision)
    else:
        address = endpoint or store.url.partition("://")[2].partition(",")[0]
        described = await asyncio.to_thread(_ask, session, address, revision)
    if described is None:
        return None
    writes, stages = described["writes"], described["microseconds"]
    assert isinstance(writes, int)
    assert isinstance(stages, dict)
    return writes, stages


def _ask(session: Session, endpoint: str, revision: int) -> dict[str, object] | None:
    """Fetch the server's page about the group commit of a revision; None, with a warning, when it does not answer."""
    try:
        return fetch(session, endpoint, f"/debug/stages?revision={revision}")
    except CommandFailed as error:
        session.warn(f"{endpoint} does not tell where the time went: {error}")
        return None


def _show(session: Session, traced: Traced) -> None:
    if session.settings.write_out == "json":
        import orjson

        session.say(orjson.dumps(traced._asdict()).decode())
        return
    group_of = f", in a group commit of {traced.writes}" if traced.writes else ""
    session.say(f"revision {traced.revision} after {traced.round_trip:.0f} µs{group_of}")
    if traced.stages:
        from brainctl.node.local.write_stages import STAGES

        about = {OUTSIDE: "client, network, and the server's socket", **STAGES}
        for line in lines(traced.stages, about):
            session.say(line.rstrip())


app = group("Show where the time of a write goes.")
app.command("put")(command(parse_put, put))
