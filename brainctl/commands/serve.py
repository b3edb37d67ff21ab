"""brainctl serve."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from brainctl.clock import SystemClock
from brainctl.commands._command import single
from brainctl.errors import BadArguments, BrainctlError
from brainctl.node.node import Node
from brainctl.session import Session

DEFAULT_LISTEN = "127.0.0.1:2379"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve, and where."""

    data_dir: str
    listen: str


def parse(
    data_dir: Annotated[str, typer.Option("--data-dir", metavar="DIR", help="the directory of the store")] = "",
    listen: Annotated[
        str,
        typer.Option("--listen", "--listen-client-urls", metavar="HOST:PORT", help="where to take requests"),
    ] = DEFAULT_LISTEN,
) -> Plan:
    """Serve the etcd v3 API from a directory of this machine, or from TiKV (--store tikv://PD/PREFIX).

    The directory is made when it is not there. SIGTERM finishes the requests in progress and stops.
    """
    return Plan(data_dir, listen)


def run(session: Session, plan: Plan) -> None:
    """Serve until a signal."""
    import uvloop

    store = session.settings.store
    if plan.data_dir and store:
        raise BadArguments("give either --data-dir or --store")
    if not plan.data_dir and not store:
        raise BadArguments("give the directory to serve with --data-dir DIR, or a store with --store URL")
    uvloop.run(_serve(session, plan, store or f"file://{plan.data_dir}"))


async def _serve(session: Session, plan: Plan, url: str) -> None:
    from brainctl.server.app import serve

    stop = asyncio.Event()
    failures: list[BrainctlError] = []

    def fail(error: BrainctlError) -> None:
        failures.append(error)
        stop.set()

    node, announce = await _open(url, fail)

    def ready(address: str) -> None:
        announce(address)
        session.warn(f"brainctl: serving {url} at {address}")

    try:
        await serve(node, plan.listen, on_ready=ready, stop=stop)
    finally:
        await node.close()
    if failures:
        raise failures[0]


async def _open(url: str, fail: Callable[[BrainctlError], None]) -> tuple[Node, Callable[[str], None]]:
    """The node over a store, and what to do with the address once it is served there."""
    if url.startswith("tikv://"):
        from brainctl.stores.tikv import open_tikv_medium

        medium = await open_tikv_medium(url)
        medium.on_failure = fail
        return Node(medium, SystemClock()), lambda _address: None
    from brainctl.engine.engine import Engine
    from brainctl.node.local import open_local

    engine = Engine.open(str(Path(url.removeprefix("file://"))))
    local = open_local(engine, asyncio.get_running_loop())
    local.on_failure = fail
    return Node(local, SystemClock()), engine.announce


app = single("serve", parse, run)
