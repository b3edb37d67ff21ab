"""brainctl endpoint health, status, hashkv."""

import asyncio
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import command, group
from brainctl.cli.endpoints import endpoints, one
from brainctl.cli.options import Cluster, Passed
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.client.failure import CommandFailed, exit_of
from brainctl.clock import SystemClock
from brainctl.errors import ApiError, BrainctlError, Code, ExitCode
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import EndpointHash, Endpoints, EndpointStatus, Health
from brainctl.output.gotext import duration
from brainctl.output.simple import unhealthy
from brainctl.stores.alarms import alarms


def parse_cluster(args: Passed = None, cluster: Cluster = False) -> bool:
    """Ask each endpoint for its status: endpoint, ID, version, sizes, whether leader, terms and indexes, errors."""
    del args
    return cluster


def parse_health(args: Passed = None, cluster: Cluster = False) -> bool:
    """Check that each endpoint answers a linearizable read and has no alarms."""
    del args
    return cluster


class HashPlan(NamedTuple):
    """Options of `brainctl endpoint hashkv`."""

    cluster: bool
    revision: int


def parse_hashkv(
    args: Passed = None,
    cluster: Cluster = False,
    rev: Annotated[
        str, typer.Option("--rev", metavar="int", help="hash the history up to this revision (0: the newest)")
    ] = "0",
) -> HashPlan:
    """Ask each endpoint for the hash of its history."""
    del args
    return HashPlan(cluster, read_int(rev, "--rev"))


async def health(session: Session, cluster: bool) -> None:
    """Check all endpoints at once; the failure of one is the failure of the command."""
    asked = await endpoints(session, cluster=cluster)
    failures: list[BrainctlError] = []
    rows = await asyncio.gather(*(_health(session, endpoint, failures) for endpoint in asked))
    if session.settings.write_out == "simple":
        for row in rows:
            if row.error:
                session.warn(unhealthy(row))
    session.show(Endpoints(list(rows)))
    ill = sum(bool(row.error) for row in rows)
    if ill:
        raise CommandFailed("unhealthy cluster", exit_of(failures) if ill == len(failures) else ExitCode.ERROR)


async def _health(session: Session, endpoint: str, failures: list[BrainctlError]) -> Health:
    """Return the health of one endpoint; an error is added to `failures`, an alarm is none."""
    clock = SystemClock()
    started = clock.monotonic()
    try:
        async with one(session, endpoint) as store:
            try:
                await store.range(pb.RangeRequest(key=b"health"))
            except ApiError as error:
                # A refusal went through consensus as well.
                if error.status.code is not Code.PERMISSION_DENIED:
                    raise
            took = duration(clock.monotonic() - started)
            return _with_alarms(endpoint, took, await alarms(store))
    except BrainctlError as error:
        failures.append(error)
        return Health(endpoint, healthy=False, took=duration(clock.monotonic() - started), error=str(error))


def _with_alarms(endpoint: str, took: str, response: pb.AlarmResponse) -> Health:
    if not response.alarms:
        return Health(endpoint, healthy=True, took=took, error="")
    names = {pb.NOSPACE: "NOSPACE", pb.CORRUPT: "CORRUPT"}
    raised = "".join(f"{names.get(alarm.alarm, 'UNKNOWN')} " for alarm in response.alarms)
    return Health(endpoint, healthy=False, took=took, error=f"Active Alarm(s): {raised}")


async def status(session: Session, cluster: bool) -> None:
    """Ask one after the other; those that answer are shown even when others fail."""
    rows = []
    failures: list[BrainctlError] = []
    for endpoint in await endpoints(session, cluster=cluster):
        try:
            async with one(session, endpoint) as store:
                rows.append(EndpointStatus(endpoint, await store.status()))
        except BrainctlError as error:
            failures.append(error)
            session.warn(f"Failed to get the status of endpoint {endpoint} ({error})")
    session.show(Endpoints(rows))
    if failures:
        raise typer.Exit(exit_of(failures))


async def hashkv(session: Session, plan: HashPlan) -> None:
    """Ask one after the other."""
    rows = []
    failures: list[BrainctlError] = []
    for endpoint in await endpoints(session, cluster=plan.cluster):
        try:
            async with one(session, endpoint) as store:
                request = pb.HashKVRequest(revision=plan.revision)
                response = await store.call("/etcdserverpb.Maintenance/HashKV", request, pb.HashKVResponse)
            rows.append(EndpointHash(endpoint, response))
        except BrainctlError as error:
            failures.append(error)
            session.warn(f"Failed to get the hash of endpoint {endpoint} ({error})")
    session.show(Endpoints(rows))
    if failures:
        raise CommandFailed(str(failures[-1]), exit_of(failures))


app = group("Ask the endpoints for health, status and hash.")
app.command("health")(command(parse_health, health))
app.command("status")(command(parse_cluster, status))
app.command("hashkv")(command(parse_hashkv, hashkv))
