"""Every kind of side against every kind, with each kind of difference planted in one of them."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from itertools import product
from pathlib import Path

import pytest

from brainctl.backup import hard_links
from brainctl.clock import ManualClock, SystemClock
from brainctl.errors import InvalidInput
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import open_store
from brainctl.stores.store import Store
from brainctl.stores.unfinished import CAUTIOUS
from brainctl.verify.compare import Comparison, Report
from brainctl.verify.difference import (
    Difference,
    ExtraKey,
    ExtraLease,
    ExtraRevisions,
    Mismatch,
    MissingKey,
    MissingLease,
    MissingRevisions,
)
from brainctl.verify.exported import export
from brainctl.verify.files import is_copy, open_copy
from brainctl.verify.reading import StoreReader
from brainctl.verify.scope import Scope
from brainctl.verify.side import Side
from tests.peers.servers import Brainctl, Etcd, Playground

KEYS = 40
LEASE, OTHER = 77, 78
KEY = b"/k/0017"
STATES = ("same", "value", "missing", "extra", "lease", "ahead")
KINDS = ("etcd", "serve", "file", "tikv", "snapshot", "data-dir", "backup", "list")
STANDING = ("snapshot", "data-dir", "backup", "list")
"""Sides that are copies of one moment."""
MODS = ("mod_revision", "version")


class Sides:
    """All sides, each opened when it is first used, in one event loop."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.urls: dict[tuple[str, str], str] = {}
        self.paths: dict[tuple[str, str], Path] = {}
        self._stack = AsyncExitStack()
        self._open: dict[tuple[str, str], Side] = {}

    async def side(self, kind: str, state: str) -> Side:
        place = (kind, state)
        if place not in self._open:
            if place in self.urls:
                self._open[place] = StoreReader(await opened(self.urls[place], self._stack))
            else:
                assert is_copy(self.paths[place])
                self._open[place] = await open_copy(self.paths[place], Scope(), self._stack, CAUTIOUS)
        return self._open[place] if kind != "list" else self._open.pop(place)  # a comparison closes the file

    def compare(self, one: tuple[str, str] | Side, other: tuple[str, str] | Side) -> Report:
        async def compare() -> Report:
            sides = [await self.side(*side) if isinstance(side, tuple) else side for side in (one, other)]
            return await Comparison(*sides, SystemClock()).run()

        return self.runner.run(compare())

    def close(self) -> None:
        self.runner.run(self._stack.aclose())


async def opened(url: str, stack: AsyncExitStack) -> Store:
    store = await open_store(
        url,
        EtcdTarget((), dial_timeout=60, command_timeout=120),
        ManualClock(),
        create=url.startswith(("file", "tikv")),
    )
    stack.push_async_callback(store.close)
    return store


async def fill(store: Store, state: str) -> None:
    """Write the same revisions whatever the state, up to the one that is only ahead."""
    for lease in (LEASE, OTHER):
        await store.lease_grant(pb.LeaseGrantRequest(ID=lease, TTL=90_000))
    for number in range(KEYS):
        await store.put(
            pb.PutRequest(key=b"/k/%04d" % number, value=b"v" * number, lease=LEASE if number % 9 == 0 else 0)
        )
    match state:
        case "value":
            await store.put(pb.PutRequest(key=KEY, value=b"other"))
        case "missing":
            await store.delete_range(pb.DeleteRangeRequest(key=KEY))
        case "extra":
            await store.put(pb.PutRequest(key=KEY + b"+"))
        case "lease":
            await store.put(pb.PutRequest(key=KEY, value=b"v" * 17, lease=OTHER))
        case _:
            await store.put(pb.PutRequest(key=KEY, value=b"v" * 17))
    if state == "ahead":
        await store.put(pb.PutRequest(key=b"/k/0003", value=b"later"))


async def filled(url: str, state: str) -> None:
    async with AsyncExitStack() as stack:
        await fill(await opened(url, stack), state)


async def copied(directory: Path, to: Path) -> dict[str, Path]:
    """Make the copies of a directory that are files."""
    async with AsyncExitStack() as stack:
        store = await opened(f"file://{directory}", stack)
        whole = b"".join([response.blob async for response in store.snapshot()])
        with (to / "list").open("wb") as file:
            await export(StoreReader(store), Scope(), file)
    (to / "snapshot.db").write_bytes(whole)
    (to / "etcd" / "member" / "snap" / "db").write_bytes(whole[: len(whole) - len(whole) % 512])
    hard_links.save(directory, to / "backup")
    return {"snapshot": to / "snapshot.db", "data-dir": to / "etcd", "backup": to / "backup", "list": to / "list"}


@pytest.fixture(scope="module")
def sides(tikv: Playground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    directory = tmp_path_factory.mktemp("sides")
    with ExitStack() as servers, asyncio.Runner() as runner:
        found = Sides(runner)
        for state in STATES:
            etcd, ours = Etcd(directory / f"e-{state}"), Brainctl(directory / f"s-{state}")
            (directory / state / "etcd" / "member" / "snap").mkdir(parents=True)
            urls = {
                "etcd": f"etcd://{servers.enter_context(etcd).endpoint}",
                "serve": f"etcd://{servers.enter_context(ours).endpoint}",
                "tikv": tikv.url(f"{directory.name}-{state}"),
                "file": f"file://{directory}/f-{state}",
            }
            for kind, url in urls.items():
                found.urls[kind, state] = url
                runner.run(filled(url, state))
            paths = runner.run(copied(directory / f"f-{state}", directory / state))
            found.paths |= {(kind, state): path for kind, path in paths.items()}
        yield found
        found.close()


EXPECTED: dict[str, list[Difference]] = {
    "same": [],
    "value": [Mismatch(KEY, ("value",))],
    "missing": [MissingKey(KEY)],
    "extra": [Mismatch(KEY, MODS), ExtraKey(KEY + b"+")],
    "lease": [Mismatch(KEY, ("lease",))],
}


@pytest.mark.parametrize(("one", "other"), list(product(KINDS, KINDS)))
def test_any_two_kinds(sides: Sides, one: str, other: str) -> None:
    for state, differences in EXPECTED.items():
        report = sides.compare((one, "same"), (other, state))
        assert report.differences == differences, state
        assert (report.keys, report.leases) == (KEYS, 2)


@pytest.mark.parametrize(("one", "other"), list(product(KINDS, KINDS)))
def test_a_side_that_lags(sides: Sides, one: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was copied of one moment need not go on with the other side; a store must."""
    monkeypatch.setattr("brainctl.verify.compare.FIRST_PAUSE", 0.001)
    last = KEYS + 2
    if one == "list":  # it has no other revision than its own
        with pytest.raises(InvalidInput, match=f"revision {last + 1}, and the other side has not gone beyond"):
            sides.compare((one, "ahead"), (other, "same"))
    else:
        report = sides.compare((one, "ahead"), (other, "same"))
        assert report.differences == ([] if other in STANDING else [MissingRevisions(last + 1, last + 1)])
        assert report.revision == last
    if other != "list":
        report = sides.compare((one, "same"), (other, "ahead"))
        assert report.differences == ([] if one in STANDING else [ExtraRevisions(last + 1, last + 1)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_lease_that_only_one_has(sides: Sides, kind: str, tmp_path: Path) -> None:
    async def more() -> Side:
        url = f"file://{tmp_path}/store"
        await filled(url, "same")
        store = await opened(url, stack)
        await store.lease_grant(pb.LeaseGrantRequest(ID=5, TTL=90_000))
        return StoreReader(store)

    stack = AsyncExitStack()
    side = sides.runner.run(more())
    try:
        assert sides.compare(side, (kind, "same")).differences == [MissingLease(5)]
        assert sides.compare((kind, "same"), side).differences == [ExtraLease(5)]
    finally:
        sides.runner.run(stack.aclose())
