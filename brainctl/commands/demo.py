"""brainctl demo."""

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Annotated, NamedTuple

import typer

from brainctl.cli import child_server
from brainctl.cli.child_server import Serving
from brainctl.cli.command import single
from brainctl.cli.options import decimal
from brainctl.cli.session import Session
from brainctl.client.steady_writer import LiveWriter, load
from brainctl.clock import Clock, SystemClock
from brainctl.errors import BadArguments, BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

SEED = 1
LIVE_SECONDS = 2.0
"""Seconds for which the writer works alone before and after the migration."""


class DemoOptions(NamedTuple):
    """Options of `brainctl demo`."""

    keys: int
    rate: int


def parse(
    keys: Annotated[
        str, typer.Option("--keys", metavar="int", help="number of keys in the store before the migration begins")
    ] = "10000",
    rate: Annotated[
        str, typer.Option("--rate", metavar="int", help="changes per second while the migration runs")
    ] = "500",
) -> DemoOptions:
    """Show a live migration on this machine, with no other server.

    A brainctl server on a scratch directory is migrated, while its keys are changed, into a second store; the two are
    compared, the writes go over to the second, and nothing is lost. Everything runs in processes of its own and is
    removed at the end.
    """
    plan = DemoOptions(decimal(keys), decimal(rate))
    if min(plan) < 1:
        raise BadArguments("--keys and --rate are at least 1")
    return plan


async def run(session: Session, plan: DemoOptions) -> None:
    """Run the story, a line for each step."""
    with tempfile.TemporaryDirectory(prefix="brainctl-demo-") as name:
        await Demo(session, plan, Path(name), SystemClock()).run()


class Demo:
    """The story, step by step."""

    def __init__(self, session: Session, plan: DemoOptions, directory: Path, clock: Clock) -> None:
        self.session = session
        self.plan = plan
        self.clock = clock
        self.source = Serving(directory / "source")
        self.target = Serving(directory / "target")
        self.urls = ("--from", f"etcd://{self.source.endpoint}", "--to", f"file://{self.target.directory}")

    async def run(self) -> None:
        """Run the whole demonstration.

        Raises:
            BrainctlError: the target is not as it must be.
        """
        began = self.clock.monotonic()
        random = Random(SEED)  # noqa: S311 - the same data each time
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.source)
            source = await stack.enter_async_context(self.session.open(f"etcd://{self.source.endpoint}"))
            await load(source, self.plan.keys, random)
            await source.compact(pb.CompactionRequest(revision=(await source.status()).header.revision))
            self.say("source", f"brainctl serve at {self.source.endpoint}, {self.plan.keys} keys")
            writer = LiveWriter(source, random, self.clock, self.plan.rate)
            await stack.enter_async_context(_in_background(writer))
            self.say("writes", f"{self.plan.rate} a second: puts, deletes, transactions, leases")
            await asyncio.sleep(LIVE_SECONDS)
            start = (await source.status()).header.revision
            stopped = await self._migrate(writer)
            await self._verify()
            await stack.enter_async_context(self.target)
            target = await stack.enter_async_context(self.session.open(f"etcd://{self.target.endpoint}"))
            await self._check_writes(writer, target)
            await self._compare_watches(source, target, start)
            before = writer.changes
            writer.resume(target)
            self.say("cutover", f"writes go to {self.target.endpoint}, {self.clock.monotonic() - stopped:.1f} s later")
            await asyncio.sleep(LIVE_SECONDS)
            await writer.pause()
            await self._check_writes(writer, target, before)
        self.say("done", f"in {self.clock.monotonic() - began:.1f} s")

    def say(self, step: str, text: str) -> None:
        """Write a line of the report."""
        self.session.say(f"{step:>9}  {text}")

    async def _migrate(self, writer: LiveWriter) -> float:
        """Migrate and cut over; when the writer was asked to pause, which the freeze hook does by a signal."""
        paused: list[float] = []
        tasks = set()

        def pause() -> None:
            paused.append(self.clock.monotonic())
            tasks.add(asyncio.ensure_future(writer.pause()))

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, pause)
        hook = f"kill -USR1 {os.getpid()}"
        try:
            output = await child_server.run("migrate", *self.urls, "--cutover", "--freeze-hook", hook, "-w", "json")
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)
        done = json.loads(output)
        self.say("copy", f"{done['keys']} keys, and {done['events']} changes that came meanwhile")
        self.say(
            "commit", f"at revision {done['revision']}, {done['seconds']:.1f} s after the start of brainctl migrate"
        )
        return paused[0]

    async def _verify(self) -> None:
        found = json.loads(await child_server.run("verify", *self.urls, "-w", "json"))
        self.say("verify", f"equal at revision {found['revision']}: {found['keys']} keys, {found['leases']} leases")

    async def _check_writes(self, writer: LiveWriter, target: Store, since: int = 0) -> None:
        lost = await writer.lost(target)
        if lost:
            raise BrainctlError(f"{len(lost)} keys are not as they were acknowledged, the first: {lost[0]!r}")
        self.say("check", f"{writer.changes - since} acknowledged changes are in the target")

    async def _compare_watches(self, source: Store, target: Store, start: int) -> None:
        """Check that a watch on the target from a revision of the source delivers what a watch on the source delivers.

        Raises:
            BrainctlError: they differ.
        """
        last = (await source.status()).header.revision
        events, expected = await events_between(target, start, last), await events_between(source, start, last)
        if events != expected:
            raise BrainctlError(f"the watch from revision {start} differs between source and target")
        self.say("watch", f"from revision {start}: {len(events)} events, the same on both sides")


async def events_between(store: Store, start: int, last: int) -> list[bytes]:
    """Return the marshalled events of the revisions `start` to `last`."""
    create = pb.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start)

    async def requests() -> AsyncIterator[pb.WatchRequest]:
        yield pb.WatchRequest(create_request=create)
        await asyncio.Event().wait()

    found: list[bytes] = []
    async for response in store.watch(requests()):
        found += [event.SerializeToString() for event in response.events]
        if response.events and response.events[-1].kv.mod_revision >= last:
            break
    return found


@asynccontextmanager
async def _in_background(writer: LiveWriter) -> AsyncIterator[None]:
    """Have it write until the block ends; what it raised comes out then."""
    task = asyncio.ensure_future(writer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


app = single("demo", parse, run)
