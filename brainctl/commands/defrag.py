"""brainctl defrag."""

import typer

from brainctl.cli.command import single
from brainctl.cli.endpoints import endpoints, one
from brainctl.cli.options import Cluster, Passed
from brainctl.cli.session import Session
from brainctl.client.failure import exit_of
from brainctl.clock import SystemClock
from brainctl.errors import BrainctlError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.gotext import duration


def parse(args: Passed = None, cluster: Cluster = False) -> bool:
    """Have each endpoint give unused space back to its file system."""
    del args
    return cluster


async def run(session: Session, cluster: bool) -> None:
    """Defragment one endpoint after the other.

    Raises:
        typer.Exit: one failed (exit code 1, or 124 for a deadline); the others were asked all the same.
    """
    clock = SystemClock()
    failures: list[BrainctlError] = []
    for endpoint in await endpoints(session, cluster=cluster):
        started = clock.monotonic()
        try:
            async with one(session, endpoint) as store:
                request = pb.DefragmentRequest()
                await store.call("/etcdserverpb.Maintenance/Defragment", request, pb.DefragmentResponse)
        except BrainctlError as error:
            took = duration(clock.monotonic() - started)
            session.warn(f"Failed to defragment etcd member[{endpoint}]. took {took}. ({error})")
            failures.append(error)
        else:
            took = duration(clock.monotonic() - started)
            session.say(f"Finished defragmenting etcd member[{endpoint}]. took {took}")
    if failures:
        raise typer.Exit(exit_of(failures))


app = single("defrag", parse, run)
