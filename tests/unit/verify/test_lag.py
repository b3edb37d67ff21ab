"""A side that has not reached the other's newest revision: every kind of store, either way round."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product

import pytest

from brainctl.clock import ManualClock, SystemClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.registry import open_store
from brainctl.stores.store import Store
from brainctl.verify.compare import Comparison, Report
from brainctl.verify.difference import ExtraRevisions, MissingRevisions
from brainctl.verify.lag import LOOKS, Newest, Standing, standing
from brainctl.verify.reading import StoreReader
from tests.peers.servers import Brainctl, Etcd, Playground, brainctl

KINDS = ("etcd", "serve", "file", "tikv")
KEYS = 5
LACKING = 3
"""The store that is behind has none of the last revisions; all of them rewrite one key."""
BEHIND = 1 + KEYS
AHEAD = BEHIND + LACKING


async def fill(url: str, revisions: int) -> None:
    store = await open_store(url, EtcdTarget(()), ManualClock(), create=True)
    for number in range(revisions - 1):
        await store.put(pb.PutRequest(key=b"k%d" % min(number, KEYS - 1), value=b"v"))
    await store.close()


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, tikv: Playground) -> Iterator[dict[tuple[str, int], str]]:
    """A store of each kind at each of the two revisions."""
    directory = tmp_path_factory.mktemp("lag")
    found: dict[tuple[str, int], str] = {}
    servers = [cls(directory / f"{cls.name}{at}") for cls in (Etcd, Brainctl) for at in (BEHIND, AHEAD)]
    try:
        for server, (kind, at) in zip(servers, product(("etcd", "serve"), (BEHIND, AHEAD)), strict=True):
            found[kind, at] = f"etcd://{server.start().endpoint}"
        for at in (BEHIND, AHEAD):
            found["file", at] = f"file://{directory / str(at)}"
            found["tikv", at] = tikv.url(f"{directory.name}-{at}")
        for (_, at), url in found.items():
            asyncio.run(fill(url, at))
        yield found
    finally:
        for server in servers:
            if server.child is not None:
                server.stop()


@asynccontextmanager
async def opened(*urls: str) -> AsyncIterator[list[Store]]:
    async with AsyncExitStack() as stack:
        stores = []
        for url in urls:
            stores.append(await open_store(url, EtcdTarget(()), ManualClock()))
            stack.push_async_callback(stores[-1].close)
        yield stores


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(("one", "other"), list(product(KINDS, KINDS)))
def test_a_store_that_stands_behind_is_different(
    urls: dict[tuple[str, int], str], one: str, other: str, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainctl.verify.compare.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("brainctl.verify.keys.FIRST_PAUSE", 0.001)

    async def compare(expected: Store, found: Store, max_lag: int = 0) -> Report:
        return await Comparison(
            StoreReader(expected), StoreReader(found), SystemClock(), live=live, leases=False, max_lag=max_lag
        ).run()

    async def story() -> None:
        async with opened(urls[one, AHEAD], urls[other, BEHIND]) as (ahead, behind):
            report = await compare(ahead, behind)
            assert report.differences == [MissingRevisions(BEHIND + 1, AHEAD)]
            assert (report.newest, report.revision, report.keys) == (Newest(AHEAD, BEHIND), BEHIND, KEYS)
            assert (await compare(behind, ahead)).differences == [ExtraRevisions(BEHIND + 1, AHEAD)]
            assert (await compare(ahead, behind, LACKING)).equal
            assert not (await compare(ahead, behind, LACKING - 1)).equal

    asyncio.run(story())


def test_the_command_shows_both_revisions_and_what_is_missing(urls: dict[tuple[str, int], str]) -> None:
    stores = ("--from", urls["etcd", AHEAD], "--to", urls["file", BEHIND])
    done = brainctl("verify", *stores)
    assert done.returncode == 7
    missing, verdict = done.stdout.splitlines()
    assert missing == f"missing revisions {BEHIND + 1} to {AHEAD}: the second store has not reached them"
    assert verdict.startswith(f"different at revision {BEHIND} (the newest are {AHEAD} and {BEHIND}): {KEYS} keys")
    assert done.stderr == f"Error: 1 difference at revision {BEHIND}\n"
    done = brainctl("verify", *stores, "-w", "json", "--max-lag", str(LACKING))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["equal"], report["from_revision"], report["to_revision"]) == (True, str(AHEAD), str(BEHIND))
    shown = json.loads(brainctl("verify", *stores, "-w", "json").stdout)["differences"]
    assert shown == [{"kind": "missing-revisions", "first": str(BEHIND + 1), "last": str(AHEAD)}]
    assert brainctl("verify", *stores, "--max-lag", "-1").returncode == 128


class Looks:
    """Two sides as they are seen at one look after the other."""

    def __init__(self, *seen: tuple[int, int]) -> None:
        self.seen = [Newest(*both) for both in seen]
        self.count = 0

    async def read(self) -> Newest:
        self.count += 1
        return self.seen[min(self.count, len(self.seen)) - 1]


@pytest.mark.parametrize(
    ("seen", "live", "expected", "looks"),
    [
        ([(9, 9)], False, None, 1),
        ([(9, 5), (9, 5)], False, MissingRevisions(6, 9), 2),  # it stands
        ([(9, 5), (9, 5)], True, MissingRevisions(6, 9), 1 + LOOKS),  # it may only pause
        ([(9, 5), (12, 7), (14, 9)], False, None, 3),  # it has reached what was there first
        ([(5, 9), (7, 12)], False, ExtraRevisions(8, 12), 3),  # it moved, and stopped
        ([(90, 50), *((90 + n, 50 + n) for n in range(1, 9))], True, None, 1 + LOOKS),  # a constant distance
        ([(90, 50), *((90 + n, 50 + n) for n in range(1, 9))], False, MissingRevisions(56, 95), 1 + LOOKS),
        ([(90, 50), *((90 + 2 * n, 50 + n) for n in range(1, 9))], True, MissingRevisions(56, 100), 1 + LOOKS),
        ([(90, 50), *((90, 50 + n) for n in range(1, 9))], True, MissingRevisions(56, 90), 1 + LOOKS),
    ],
)
def test_what_is_a_lag(seen: list[tuple[int, int]], live: bool, expected: object, looks: int) -> None:
    sides = Looks(*seen)
    stand: Standing = asyncio.run(standing(sides.read, 0, 0.0, live=live))
    assert (stand.difference, sides.count) == (expected, looks)
