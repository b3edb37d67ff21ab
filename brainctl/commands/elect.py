"""brainctl elect."""

import asyncio
from contextlib import aclosing
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import single
from brainctl.cli.options import raw
from brainctl.cli.session import Session
from brainctl.cli.signals import told_to_stop, until
from brainctl.client.failure import CommandFailed
from brainctl.client.lease_session import lease_session
from brainctl.client.lock_recipe import Turn, await_turn, events, leave, oldest, queue_up
from brainctl.clock import SystemClock
from brainctl.errors import BadArguments
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.prefix import prefix_end
from brainctl.stores.store import Store

TTL = 60
"""Seconds after which a leader that is gone is replaced."""


class ElectOptions(NamedTuple):
    """Options of `brainctl elect`: the election, and the proposal; without one it listens."""

    name: bytes
    proposal: bytes | None


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="NAME [PROPOSAL]", show_default=False)] = None,
    listen: Annotated[
        bool, typer.Option("-l", "--listen", help="show the leader and each change of leader, without running for it")
    ] = False,
) -> ElectOptions:
    """Run for the leadership of NAME with PROPOSAL, show the key when elected, and lead until SIGINT or SIGTERM.

    With --listen and no PROPOSAL, show the key and the proposal of each leader.
    """
    if args is None or len(args) not in (1, 2):
        raise BadArguments("elect takes one election name argument and an optional proposal argument")
    if len(args) == 1 and not listen:
        raise BadArguments("no proposal argument but -l not set")
    if len(args) == 2 and listen:
        raise BadArguments("proposal given but -l is set")
    return ElectOptions(raw(args[0]), None if listen else raw(args[1]))


async def run(session: Session, plan: ElectOptions) -> None:
    """Listen, or run for it."""
    async with session.open() as store:
        if plan.proposal is None:
            async with told_to_stop() as stop:
                await until(_observe(session, store, plan.name + b"/"), stop)
            return
        async with lease_session(store, TTL, SystemClock()) as lease, told_to_stop() as stop:
            place = await queue_up(store, plan.name, lease.lease, plan.proposal)
            elected = asyncio.Event()
            try:
                await until(_lead(session, store, place.turn, elected), lease.lost, stop)
            finally:
                if not lease.lost.is_set():
                    await leave(store, place.turn)
            if lease.lost.is_set():
                raise CommandFailed("elect: session expired")
            if not elected.is_set():
                raise CommandFailed("context canceled")


async def _lead(session: Session, store: Store, turn: Turn, elected: asyncio.Event) -> None:
    """Wait to be elected, show the key, and stay."""
    await await_turn(store, turn)
    elected.set()
    session.show(await store.range(pb.RangeRequest(key=turn.key)))
    await asyncio.Event().wait()


async def _observe(session: Session, store: Store, prefix: bytes) -> None:
    """Show the leader, what it proclaims, and whoever comes after it, for ever."""
    while True:
        found = await store.range(oldest(prefix))
        if not found.kvs:
            await _first_put(store, prefix, found.header.revision + 1)
            continue
        leader = found.kvs[0]
        session.show(pb.RangeResponse(header=found.header, kvs=[leader]))
        watch = pb.WatchCreateRequest(key=leader.key, start_revision=found.header.revision + 1)
        async with aclosing(events(store, watch)) as changes:
            async for header, event in changes:
                if event.type == kv_pb2.Event.DELETE:
                    break
                session.show(pb.RangeResponse(header=header, kvs=[event.kv]))


async def _first_put(store: Store, prefix: bytes, revision: int) -> None:
    """Return when somebody runs."""
    watch = pb.WatchCreateRequest(key=prefix, range_end=prefix_end(prefix), start_revision=revision)
    async with aclosing(events(store, watch)) as changes:
        async for _, event in changes:
            if event.type == kv_pb2.Event.PUT:
                return


app = single("elect", parse, run)
