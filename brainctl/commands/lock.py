"""brainctl lock."""

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import single
from brainctl.cli.options import raw
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.cli.signals import told_to_stop, until
from brainctl.client.failure import CommandFailed
from brainctl.client.lease_session import LeaseSession, lease_session
from brainctl.client.lock_recipe import Turn, await_turn, leave, queue_up
from brainctl.clock import SystemClock
from brainctl.errors import BadArguments
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.gotext import quote
from brainctl.stores.store import Store

DEFAULT_TTL = 10
SESSION_TTL = 60
"""The lease for a --ttl that is none."""
STOP_SECONDS = 5.0
"""Seconds that a command has to end by itself after its lock was lost."""


class LockOptions(NamedTuple):
    """Options of `brainctl lock`: the name, and the command to run."""

    name: bytes
    command: tuple[str, ...]
    ttl: int


def parse(
    args: Annotated[list[str] | None, typer.Argument(metavar="NAME [-- COMMAND [ARG...]]", show_default=False)] = None,
    ttl: Annotated[
        str,
        typer.Option(
            "--ttl",
            metavar="int",
            help="time to live of the lock's lease, in seconds: when a holder is gone, others wait for its end",
        ),
    ] = str(DEFAULT_TTL),
) -> LockOptions:
    """Acquire the lock NAME. With a COMMAND, run it and release the lock; the exit code is its own.

    Without one, show the key that holds the lock, and hold it until SIGINT or SIGTERM. COMMAND finds the key in
    ETCD_LOCK_KEY and its revision in ETCD_LOCK_REV; it is ended when the lock is lost.
    """
    seconds = read_int(ttl, "--ttl")
    if not args:
        raise BadArguments("lock takes a lock name argument and an optional command to execute")
    return LockOptions(raw(args[0]), tuple(args[1:]), seconds if seconds > 0 else SESSION_TTL)


async def run(session: Session, plan: LockOptions) -> None:
    """Queue up, wait, hold, leave."""
    async with (
        session.open() as store,
        lease_session(store, plan.ttl, SystemClock()) as lease,
        told_to_stop() as stop,
    ):
        place = await queue_up(store, plan.name, lease.lease, b"")
        try:
            revision = place.header.revision
            if not place.is_first:
                revision = await _wait(store, place.turn, lease, stop)
            elif stop.is_set():
                raise CommandFailed("context canceled")
            if plan.command:
                code = await _run_command(plan.command, place.turn, revision, lease)
            else:
                code = await _hold(session, store, place.turn, lease, stop)
        finally:
            if not lease.lost.is_set():
                await leave(store, place.turn)
    if code:
        if code > 0:
            session.warn(f"Error: exit status {code}")
        else:
            session.warn(f"Error: signal: {_signal_text(-code)}")
        raise typer.Exit(code & 0xFF if code > 0 else 255)


async def _wait(store: Store, turn: Turn, lease: LeaseSession, stop: asyncio.Event) -> int:
    """Wait for the turn; the revision at which the key was seen holding the lock."""

    async def turn_comes() -> pb.RangeResponse:
        await await_turn(store, turn)
        return await store.range(pb.RangeRequest(key=turn.key))

    held = await until(turn_comes(), lease.lost, stop)
    if held is None:
        raise CommandFailed("session expired" if lease.lost.is_set() else "context canceled")
    if not held.kvs:
        raise CommandFailed("mutex: session is expired")
    return held.header.revision


async def _hold(session: Session, store: Store, turn: Turn, lease: LeaseSession, stop: asyncio.Event) -> int:
    held = await store.range(pb.RangeRequest(key=turn.key))
    if not held.kvs:
        raise CommandFailed("lock lost on init")
    session.show(held)
    await until(lease.lost.wait(), stop)
    if lease.lost.is_set():
        raise CommandFailed("session expired")
    return 0


async def _run_command(command: tuple[str, ...], turn: Turn, revision: int, lease: LeaseSession) -> int:
    """Run the command to its end, and return its exit code, negative when a signal ended it.

    Raises:
        CommandFailed: It is not there, or the lock was lost: somebody else may have it, so the command was ended.
    """
    if shutil.which(command[0]) is None:
        raise CommandFailed(_not_found(command[0]))
    environment = {**os.environ, "ETCD_LOCK_KEY": os.fsdecode(turn.key), "ETCD_LOCK_REV": str(revision)}
    sys.stdout.flush()
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=sys.stderr, env=environment
    )
    code = await until(process.wait(), lease.lost)
    if code is not None:
        return code
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
    raise CommandFailed("session expired")


def _not_found(program: str) -> str:
    if "/" not in program:
        return f"exec: {quote(os.fsencode(program))}: executable file not found in $PATH"
    return f"fork/exec {program}: {'permission denied' if Path(program).exists() else 'no such file or directory'}"


def _signal_text(number: int) -> str:
    return (signal.strsignal(number) or str(number)).lower()


app = single("lock", parse, run)
