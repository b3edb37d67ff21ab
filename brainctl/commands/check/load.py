"""brainctl check perf and datascale: how fast a store is, and what its data costs."""

from random import SystemRandom
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.endpoints import endpoints, one
from brainctl.cli.options import Passed, raw
from brainctl.cli.progress import progress, seconds
from brainctl.cli.server_memory import resident_bytes
from brainctl.cli.session import Session
from brainctl.cli.settings import read_duration, read_int
from brainctl.cli.signals import told_to_stop
from brainctl.client.failure import CommandFailed
from brainctl.client.load import Count, Figures, Load, Rate
from brainctl.clock import SystemClock
from brainctl.errors import BadArguments, BrainctlError, ExitCode, InvalidInput, Unsupported
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.prefix import prefix_end
from brainctl.output.gotext import quote
from brainctl.stores.store import Store

ALIASES = {"s": "s", "small": "s", "m": "m", "medium": "m", "l": "l", "large": "l", "xl": "xl", "xLarge": "xl"}
PERF = {"s": (50, 150), "m": (200, 1000), "l": (500, 8000), "xl": (1000, 15000)}
"""Clients, and writes per second."""
PERF_SECONDS = 60.0
DATASCALE = {"s": (50, 10_000), "m": (200, 100_000), "l": (500, 1_000_000), "xl": (1000, 3_000_000)}
"""Clients, and keys."""
ENOUGH = 0.9
"""The share of the writes that must be done."""
SLOWEST_SECONDS = 0.5
DEVIATION_SECONDS = 0.1
BUSY = 0.9
"""A client that used more of a processor than this was perhaps what was slow."""
_MIB = 1 << 20

LoadOption = Annotated[
    str, typer.Option("--load", metavar="s|m|l|xl", help="size of the load: small, medium, large or xLarge")
]
ClientsOption = Annotated[
    str, typer.Option("--clients", metavar="int", help="number of clients that write at once [by --load]")
]
AutoCompact = Annotated[bool, typer.Option("--auto-compact", help="compact the store after the test")]
AutoDefrag = Annotated[bool, typer.Option("--auto-defrag", help="defragment all endpoints after the test")]


class After(NamedTuple):
    """Options for the end of a test, once its keys are deleted again."""

    compact: bool
    defrag: bool


class Perf(NamedTuple):
    """Load of `check perf`: clients, rate and time."""

    prefix: bytes
    clients: int
    per_second: int
    seconds: float
    after: After


def parse_perf(
    args: Passed = None,
    load: LoadOption = "s",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="string", help="prefix of the keys that are written")
    ] = "/etcdctl-check-perf/",
    auto_compact: AutoCompact = False,
    auto_defrag: AutoDefrag = False,
    clients: ClientsOption = "",
    rate: Annotated[str, typer.Option("--rate", metavar="int", help="writes per second [by --load]")] = "",
    duration: Annotated[str, typer.Option("--duration", metavar="duration", help="time to write for [60s]")] = "",
) -> Perf:
    """Write keys of 256 bytes with values of 1 KiB at a steady rate, delete them, and say whether it was fast enough.

    It passes with 90% of the writes of the load, the slowest within 0.5 s, and a standard deviation of 0.1 s at most.
    """
    del args
    default_clients, default_rate = PERF[_load(load)]
    return Perf(
        _prefix(prefix),
        _positive(clients, "--clients", default_clients),
        _positive(rate, "--rate", default_rate),
        read_duration(duration, "--duration") if duration else PERF_SECONDS,
        After(auto_compact, auto_defrag),
    )


async def perf(session: Session, plan: Perf) -> None:
    """Write, clean up, judge."""
    clock = SystemClock()
    async with session.open() as store:
        await _must_be_empty(store, plan.prefix, "'brainctl del --prefix {}'")
    async with session.open() as store, told_to_stop() as stop:
        rate = Rate(plan.per_second, plan.seconds, clock)
        load = Load(store, plan.prefix, 256, 1024, SystemRandom())
        with progress("writing", seconds) as shown:
            began = clock.monotonic()

            def allowed() -> float | None:
                shown(min(int(clock.monotonic() - began), int(plan.seconds)), int(plan.seconds))
                return None if stop.is_set() else rate()

            figures = await load.run(plan.clients, allowed, clock)
        await _clean_up(session, store, plan.prefix, plan.after)
        if stop.is_set():
            raise typer.Exit(ExitCode.SIGINT)
    lines, passed = verdict(figures, plan.per_second)
    for line in lines:
        session.say(line)
    if figures.cpu > BUSY * figures.seconds:
        session.warn("brainctl itself was busy nearly all the time: the store may be faster than this says")
    if not passed:
        raise typer.Exit(1)


def verdict(figures: Figures, wanted: int) -> tuple[list[str], bool]:
    """Return the lines to print about the figures, and whether they are good enough for `wanted` writes per second."""
    checks = [
        (
            figures.per_second > ENOUGH * wanted,
            f"PASS: Throughput is {int(figures.per_second) + 1} writes/s",
            f"FAIL: Throughput too low: {int(figures.per_second) + 1} writes/s",
        ),
        (
            figures.slowest <= SLOWEST_SECONDS,
            f"PASS: Slowest request took {figures.slowest:f}s",
            f"Slowest request took too long: {figures.slowest:f}s",
        ),
        (
            figures.deviation <= DEVIATION_SECONDS,
            f"PASS: Stddev is {figures.deviation:f}s",
            f"Stddev too high: {figures.deviation:f}s",
        ),
    ]
    passed = not figures.errors and all(good for good, _, _ in checks)
    lines = [*_error_lines(figures), *(text if good else instead for good, text, instead in checks)]
    return [*lines, "PASS" if passed else "FAIL"], passed


class Datascale(NamedTuple):
    """Load of `check datascale`: keys and clients."""

    prefix: bytes
    clients: int
    keys: int
    after: After


def parse_datascale(
    args: Passed = None,
    load: LoadOption = "s",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="string", help="prefix of the keys that are written")
    ] = "/etcdctl-check-datascale/",
    auto_compact: AutoCompact = False,
    auto_defrag: AutoDefrag = False,
    clients: ClientsOption = "",
    keys: Annotated[str, typer.Option("--keys", metavar="int", help="number of keys to write [by --load]")] = "",
) -> Datascale:
    """Write keys of 1 KiB, delete them, and show how much memory they have cost the server at the first endpoint."""
    del args
    default_clients, default_keys = DATASCALE[_load(load)]
    after = After(auto_compact, auto_defrag)
    wanted = _positive(keys, "--keys", default_keys)
    return Datascale(_prefix(prefix), _positive(clients, "--clients", default_clients), wanted, after)


async def datascale(session: Session, plan: Datascale) -> None:
    """Write, measure, clean up."""
    server = (await endpoints(session, cluster=False))[0]
    async with session.open() as store:
        await _must_be_empty(store, plan.prefix, "brainctl del --prefix {}")
    async with session.open() as store, told_to_stop() as stop:
        before = _resident(session, server, "before")
        session.say(
            f"Start data scale check for work load [{plan.keys} key-value pairs, 1024 bytes per key-value, "
            f"{plan.clients} concurrent clients]."
        )
        count = Count(plan.keys)
        load = Load(store, plan.prefix, 512, 512, SystemRandom())
        try:
            figures = await load.run(plan.clients, lambda: None if stop.is_set() else count(), SystemClock())
            used = _resident(session, server, "after") - before
        finally:
            await _clean_up(session, store, plan.prefix, plan.after)
        if stop.is_set():
            raise typer.Exit(ExitCode.SIGINT)
    if figures.errors:
        for line in _error_lines(figures):
            session.say(line)
        raise typer.Exit(1)
    session.say(f"PASS: Approximate system memory used : {used / _MIB:.2f} MB.")


def _load(name: str) -> str:
    if name not in ALIASES:
        raise Unsupported(f"unknown load option {name}")
    return ALIASES[name]


def _prefix(text: str) -> bytes:
    """Return the bytes of --prefix, below which all keys are deleted afterwards.

    Raises:
        BadArguments: it is empty, and so would delete all keys of the store.
    """
    if not text:
        raise BadArguments("--prefix must not be empty")
    return raw(text)


def _positive(text: str, flag: str, default: int) -> int:
    value = read_int(text, flag) if text else default
    if value < 1:
        raise BadArguments(f"{flag} must be 1 at least")
    return value


async def _must_be_empty(store: Store, prefix: bytes, advice: str) -> None:
    found = await store.range(pb.RangeRequest(key=prefix, range_end=prefix_end(prefix), limit=1))
    if found.kvs:
        name = prefix.decode(errors="surrogateescape")
        raise InvalidInput(f"prefix {quote(prefix)} has keys. Delete with {advice.format(name)} first")


async def _clean_up(session: Session, store: Store, prefix: bytes, after: After) -> None:
    """Delete what was written, then compact and defragment as far as it is wanted."""
    try:
        deleted = await store.delete_range(pb.DeleteRangeRequest(key=prefix, range_end=prefix_end(prefix)))
    except BrainctlError as error:
        session.say(f"FAIL: Cleanup failed during key deletion: ERROR({error})")
        return
    if after.compact:
        revision = deleted.header.revision
        session.say(f"Compacting with revision {revision}")
        await store.compact(pb.CompactionRequest(revision=revision, physical=True))
        session.say(f"Compacted with revision {revision}")
    for endpoint in await endpoints(session, cluster=False) if after.defrag else ():
        name = quote(endpoint.encode())
        session.say(f"Defragmenting {name}")
        async with one(session, endpoint) as member:
            await member.call("/etcdserverpb.Maintenance/Defragment", pb.DefragmentRequest(), pb.DefragmentResponse)
        session.say(f"Defragmented {name}")


def _resident(session: Session, server: str, when: str) -> float:
    try:
        return resident_bytes(server, session.settings)
    except CommandFailed as error:
        session.say(str(error))
        text = f"FAIL: Could not read process_resident_memory_bytes {when} the put operations."
        session.say(text)
        raise typer.Exit(1) from None


def _error_lines(figures: Figures) -> list[str]:
    if not figures.errors:
        return []
    counted = (f"FAIL: ERROR({text}) -> {number}" for text, number in figures.errors.items())
    return ["FAIL: too many errors", *counted]
