"""Stores compared: copies of a directory with differences planted, and etcds under writes."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from brainctl.clock import ManualClock, SystemClock
from brainctl.errors import COMPACTED, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.in_process import NodeStore, open_directory
from brainctl.stores.store import Store
from brainctl.verify.compare import Comparison, Report
from brainctl.verify.difference import (
    Difference,
    ExtraKey,
    ExtraLease,
    LeaseMismatch,
    Mismatch,
    MissingKey,
    MissingLease,
)
from brainctl.verify.reading import StoreReader
from tests.conftest import NewEtcd
from tests.peers.servers import Etcd

KEYS = 1_500


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def put(store: Store, key: bytes, value: bytes = b"", lease: int = 0) -> int:
    return (await store.put(pb.PutRequest(key=key, value=value, lease=lease))).header.revision


async def delete(store: Store, key: bytes) -> None:
    await store.delete_range(pb.DeleteRangeRequest(key=key))


async def grant(store: Store, lease: int, ttl: int = 3600) -> None:
    await store.lease_grant(pb.LeaseGrantRequest(ID=lease, TTL=ttl))


async def fill(store: Store) -> None:
    for first in range(0, KEYS, 100):
        puts = [pb.PutRequest(key=b"/k/%06d" % n, value=b"v") for n in range(first, first + 100)]
        await store.txn(pb.TxnRequest(success=[pb.RequestOp(request_put=put) for put in puts]))
    await grant(store, 77)


@asynccontextmanager
async def two_copies(tmp_path: Path) -> AsyncIterator[tuple[NodeStore, NodeStore]]:
    """The same store twice, each to be changed by itself."""
    original = open_directory(tmp_path / "a", ManualClock())
    await fill(original)
    await original.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    left, right = (open_directory(tmp_path / name, ManualClock()) for name in ("a", "b"))
    try:
        yield left, right
    finally:
        await left.close()
        await right.close()


async def compare(expected: Store, found: Store, *, live: bool = False) -> Report:
    return await Comparison(StoreReader(expected), StoreReader(found), SystemClock(), live=live).run()


def test_copies_are_equal(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_copies(tmp_path) as (left, right):
            report = await compare(left, right)
            assert report.equal
            assert (report.keys, report.leases) == (KEYS, 1)

    run(story())


async def value(left: Store, right: Store) -> Difference:
    await put(left, b"/k/000700", b"one")
    await put(right, b"/k/000700", b"two")
    return Mismatch(b"/k/000700", ("value",))


async def creation(left: Store, right: Store) -> Difference:
    await delete(left, b"/k/000001")
    await put(left, b"/k/000001", b"v")
    await put(right, b"/k/000001", b"v")
    await put(right, b"/k/000001", b"v")
    return Mismatch(b"/k/000001", ("create_revision", "version"))


async def missing(left: Store, right: Store) -> Difference:
    await put(left, b"/only-left")
    await put(right, b"/only-right")
    return MissingKey(b"/only-left")


async def extra(left: Store, right: Store) -> Difference:
    await put(left, b"/only-left")
    await put(right, b"/only-right")
    return ExtraKey(b"/only-right")


async def lease_of_a_key(left: Store, right: Store) -> Difference:
    await put(left, b"/k/000700", b"v", 77)
    await put(right, b"/k/000700", b"v")
    return Mismatch(b"/k/000700", ("lease",))


async def missing_lease(left: Store, _right: Store) -> Difference:
    await grant(left, 5)
    return MissingLease(5)


async def extra_lease(_left: Store, right: Store) -> Difference:
    await grant(right, 5)
    return ExtraLease(5)


async def ttl(left: Store, right: Store) -> Difference:
    await grant(left, 5, 100)
    await grant(right, 5, 200)
    return LeaseMismatch(5, 100, 200)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("plant", [value, creation, lease_of_a_key, missing_lease, extra_lease, ttl, extra, missing])
def test_a_planted_difference_is_found(plant: Any, live: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainctl.verify.compare.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("brainctl.verify.keys.FIRST_PAUSE", 0.001)

    async def story() -> None:
        async with two_copies(tmp_path) as (left, right):
            difference = await plant(left, right)
            report = await compare(left, right, live=live)
            assert difference in report.differences
            assert not report.equal

    run(story())


class Stale(EtcdStore):
    """Shows one key as it was a while ago, as often as told."""

    times = 0

    def beside(self, _max_receive: int) -> EtcdStore:
        return self

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        response = await super().range(request)
        for kv in response.kvs:
            if kv.key == b"/k/000700" and self.times:
                self.times -= 1
                kv.version -= 1
        return response


@pytest.mark.parametrize(("times", "equal"), [(0, True), (1, True), (99, False)])
def test_a_live_difference_counts_when_it_stays(
    new_etcd: NewEtcd, times: int, equal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainctl.verify.compare.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("brainctl.verify.keys.FIRST_PAUSE", 0.001)

    async def story(server: Etcd) -> None:
        expected, found = EtcdStore(EtcdTarget((server.endpoint,))), Stale(EtcdTarget((server.endpoint,)))
        await fill(expected)
        await put(expected, b"/k/000700")
        found.times = times
        report = await compare(expected, found, live=True)
        assert report.equal is equal
        assert report.rechecked == int(times == 1)
        if not equal:
            assert report.differences == [Mismatch(b"/k/000700", ("version",))]
        await expected.close()
        await found.close()

    run(story(new_etcd()))


def test_a_store_under_writes_equals_itself(new_etcd: NewEtcd) -> None:
    async def story(server: Etcd) -> None:
        left, right = EtcdStore(EtcdTarget((server.endpoint,))), EtcdStore(EtcdTarget((server.endpoint,)))
        await fill(left)
        done = asyncio.Event()

        async def write() -> None:
            number = 0
            while not done.is_set():
                number += 1
                await put(right, b"/k/%06d" % (number * 37 % KEYS), b"w%d" % number)
                await delete(right, b"/k/%06d" % (number * 41 % KEYS))

        writer = asyncio.create_task(write())
        for _ in range(5):
            report = await compare(left, right)
            assert report.equal, report.differences
        done.set()
        await writer
        await left.close()
        await right.close()

    run(story(new_etcd()))


class CompactedWhileRead(EtcdStore):
    """Compacts before its second page is read."""

    pages = 0

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        if request.limit > 1:
            self.pages += 1
            if self.pages == 2:
                await self.compact(pb.CompactionRequest(revision=await put(self, b"/k/000000", b"new")))
        return await super().range(request)


@pytest.mark.parametrize("live", [False, True])
def test_a_compacted_revision_ends_a_comparison_that_is_not_live(new_etcd: NewEtcd, live: bool) -> None:
    async def story(server: Etcd) -> None:
        left, right = CompactedWhileRead(EtcdTarget((server.endpoint,))), EtcdStore(EtcdTarget((server.endpoint,)))
        await fill(left)
        if live:
            report = await compare(left, right, live=True)
            assert report.equal
            assert report.keys == KEYS
        else:
            with pytest.raises(ApiError) as refused:
                await compare(left, right)
            assert refused.value.status == COMPACTED
        await left.close()
        await right.close()

    run(story(new_etcd()))
