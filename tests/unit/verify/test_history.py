"""The histories of two stores compared, and a store compared with its own log."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from brainctl.clock import ManualClock, SystemClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.stores.in_process import NodeStore, open_directory
from brainctl.stores.store import Store
from brainctl.verify import history
from brainctl.verify.compare import Comparison, Report
from brainctl.verify.difference import ChangeDifference, Difference, Mismatch, MissingKey, Problem
from brainctl.verify.history import replayed
from brainctl.verify.reading import StoreReader
from brainctl.verify.scope import Scope
from tests.conftest import NewEtcd

TIMES = 10


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def put(store: Store, key: bytes, value: bytes = b"v") -> None:
    await store.put(pb.PutRequest(key=key, value=value))


async def fill(store: Store, *, planted: str = "") -> None:
    """Write ten values of a key, and some others; with a difference in the middle that no later state shows."""
    for number in range(TIMES):
        if number == 4 and planted == "value":
            await put(store, b"/a", b"another")
        elif number == 4 and planted == "key":
            await put(store, b"/passing")
        else:
            await put(store, b"/a", b"%d" % number)
    both = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"v")) for key in (b"/b", b"/c")]
    await store.txn(pb.TxnRequest(success=both if planted != "order" else both[::-1]))
    if planted == "key":
        await store.delete_range(pb.DeleteRangeRequest(key=b"/passing"))
        await put(store, b"/a", b"last")
    else:
        await put(store, b"/x")
        await store.delete_range(pb.DeleteRangeRequest(key=b"/x"))


async def compare(left: Store, right: Store, scope: Scope = Scope()) -> Report:  # noqa: B008
    sides = StoreReader(left), StoreReader(right)
    return await Comparison(*sides, SystemClock(), history=True, scope=scope).run()


@pytest.fixture
def two(tmp_path: Path) -> Any:
    """Open two directories."""

    async def opened(stack: AsyncExitStack) -> list[NodeStore]:
        stores = [open_directory(tmp_path / name, ManualClock()) for name in ("a", "b")]
        for store in stores:
            stack.push_async_callback(store.close)
        return stores

    return opened


def test_what_no_later_state_shows_is_found(two: Any) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            left, right = await two(stack)
            await fill(left)
            await fill(right, planted="value")
            assert (await Comparison(StoreReader(left), StoreReader(right), SystemClock()).run()).equal
            report = await compare(left, right)
            assert report.differences == [ChangeDifference(6, b"/a", Problem.DIFFERENT, ("value",))]
            assert (report.oldest, report.revisions) == (1, TIMES + 3)
            assert (await compare(left, right, Scope(b"/b"))).equal
            assert (await compare(left, left)).equal

    run(story())


def test_the_order_in_a_revision_counts(two: Any) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            left, right = await two(stack)
            await fill(left)
            await fill(right, planted="order")
            different = [ChangeDifference(TIMES + 2, b"/b", Problem.DIFFERENT, ("order",))]
            assert (await compare(left, right)).differences == different

    run(story())


def test_only_what_both_still_have_is_compared(two: Any) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            left, right = await two(stack)
            await fill(left)
            await fill(right, planted="value")
            await right.compact(pb.CompactionRequest(revision=6))
            report = await compare(left, right)
            base = ChangeDifference(6, b"/a", Problem.DIFFERENT, ("value",))
            assert (report.differences, report.oldest, report.revisions) == ([base], 6, TIMES - 2)
            await left.compact(pb.CompactionRequest(revision=7))
            report = await compare(left, right)
            assert (report.differences, report.oldest) == ([], 7)

    run(story())


def test_an_etcd_and_a_directory(new_etcd: NewEtcd, two: Any) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            left, right = await two(stack)
            etcd = EtcdStore(EtcdTarget((new_etcd().endpoint,), dial_timeout=60, command_timeout=60))
            stack.push_async_callback(etcd.close)
            for store in (etcd, left):
                await fill(store)
            await fill(right, planted="key")
            assert (await compare(etcd, left)).equal
            found = (await compare(etcd, right)).differences
            assert ChangeDifference(6, b"/a", Problem.MISSING) in found
            assert ChangeDifference(6, b"/passing", Problem.EXTRA) in found
            await etcd.compact(pb.CompactionRequest(revision=8))
            report = await compare(left, etcd)
            assert (report.differences, report.oldest) == ([], 8)

    run(story())


def test_an_end_without_a_change_is_reached(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compaction of all history leaves no event; progress of the watch says that there is none."""
    monkeypatch.setattr(history, "ASK_SECONDS", 0.01)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            left, right = await two(stack)
            for store in (left, right):
                await fill(store)
                await store.compact(pb.CompactionRequest(revision=TIMES + 4))
            report = await compare(left, right)
            assert (report.differences, report.revisions) == ([], 0)

    run(story())


class Forgets(NodeStore):
    """Leaves one change out of its log."""

    left_out = b""

    async def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> AsyncIterator[pb.WatchResponse]:
        async for response in super().watch(requests):
            kept = [event for event in response.events if event.kv.key != self.left_out]
            del response.events[:]
            response.events.extend(kept)
            yield response


@pytest.mark.parametrize(
    ("key", "differences"),
    [
        (b"/nothing", []),
        (b"/b", [MissingKey(b"/b")]),
        (b"/a", [Mismatch(b"/a", ("mod_revision", "version", "value"))]),
    ],
)
def test_a_store_and_its_own_log(key: bytes, differences: list[Difference], tmp_path: Path) -> None:
    async def story() -> None:
        store = open_directory(tmp_path / "a", ManualClock())
        await fill(store)
        await store.compact(pb.CompactionRequest(revision=5))
        await store.close()
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        store = open_directory(tmp_path / "b", ManualClock())
        forgets = Forgets(store.node, "file://b")
        forgets.left_out = key
        reader = StoreReader(forgets)
        report = await Comparison(reader, await replayed(reader), SystemClock()).run()
        assert report.differences == differences
        await store.close()

    run(story())
