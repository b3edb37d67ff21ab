"""Ranges are read in pages of bounded bytes, from a server and from a store of this process, whatever the keys are."""

import asyncio
from pathlib import Path

import pytest

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores import pages
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.in_process import open_directory
from brainctl.stores.pages import CUT, FIRST_KEYS, GROWTH, MOST_KEYS, PAGE_BYTES, Pager, PageSize
from brainctl.stores.parts import PART_BYTES, comes_in_parts, parts
from brainctl.stores.store import Store
from tests.conftest import NewEtcd
from tests.unit.migrate.running import etcd_store

SMALL, LARGE = 300, 40
VALUE = bytes(256 << 10)
KEYS = [b"/a/%04d" % n for n in range(SMALL)] + [b"/b/%04d" % n for n in range(LARGE)]


class Measured(EtcdStore):
    """Notes what is asked for and how large the answers are that it takes."""

    asked = 0
    largest = 0

    def beside(self, max_receive: int) -> EtcdStore:
        bounded = super().beside(max_receive)
        self.target = bounded.target
        self._connections = bounded._connections
        return self

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        self.asked += 1
        response = await super().range(request)
        self.largest = max(self.largest, response.ByteSize())
        return response


async def fill(store: Store) -> None:
    """Small keys, and large ones behind them."""
    puts = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"v")) for key in KEYS[:SMALL]]
    for first in range(0, SMALL, 100):
        await store.txn(pb.TxnRequest(success=puts[first : first + 100]))
    for key in KEYS[SMALL:]:
        await store.put(pb.PutRequest(key=key, value=VALUE))


async def read(store: Store) -> tuple[list[bytes], int]:
    """All keys of a store, and the bytes of its largest page."""
    pager, start, found, largest = Pager(store), b"", [], 0
    while True:
        page = await pager.page(start, b"", 0)
        found += [kv.key for kv in page.kvs]
        largest = max(largest, page.ByteSize())
        if not page.more:
            await pager.close()
            return found, largest
        start = page.kvs[-1].key + b"\0"


def test_pages_of_a_server_are_bounded(new_etcd: NewEtcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES", 1 << 20)
    monkeypatch.setattr(pages, "LARGEST_BYTES", 2 << 20)

    async def story() -> None:
        store = Measured(etcd_store(new_etcd().endpoint).target)
        await fill(store)
        found, _ = await read(store)
        assert found == KEYS
        assert store.largest <= 2 << 20
        assert store.asked < LARGE
        await store.close()

    asyncio.run(story())


def test_a_value_larger_than_a_page_is_read_alone(new_etcd: NewEtcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LARGEST_BYTES", 100 << 10)

    async def story() -> None:
        store = etcd_store(new_etcd().endpoint)
        await fill(store)
        assert (await read(store))[0] == KEYS
        await store.close()

    asyncio.run(story())


def test_pages_of_a_directory_are_bounded(tmp_path: Path) -> None:
    async def story() -> None:
        store = open_directory(tmp_path / "store")
        await fill(store)
        found, largest = await read(store)
        assert found == KEYS
        assert largest <= PAGE_BYTES + 100
        await store.close()

    asyncio.run(story())


def test_a_page_grows_and_shrinks_by_what_was_seen() -> None:
    size = PageSize()
    assert size.keys == FIRST_KEYS
    size.seen(FIRST_KEYS, 10)
    assert size.keys == FIRST_KEYS * GROWTH
    for _ in range(10):
        size.seen(size.keys, 10 * size.keys)
    assert size.keys == MOST_KEYS
    size.too_large(MOST_KEYS)
    size.too_large(MOST_KEYS)
    assert size.keys == MOST_KEYS // CUT, "two readers that were refused with the same number"
    size.seen(1, 10 * PAGE_BYTES)
    assert size.keys == 1


@pytest.mark.parametrize("limit", [0, 1, SMALL + 3])
def test_parts_are_the_answer(tmp_path: Path, limit: int) -> None:
    """Those of one revision, with what is asked for: a limit, keys only, an earlier revision."""

    async def story() -> None:
        store = open_directory(tmp_path / "store")
        await fill(store)
        earlier = (await store.put(pb.PutRequest(key=b"/b/0001", value=b"newer"))).header.revision - 1
        for fields in ({}, {"keys_only": True}, {"revision": earlier}):
            request = pb.RangeRequest(key=b"/a/0001", range_end=b"/c", limit=limit, **fields)
            assert comes_in_parts(store, request)
            found = [part async for part in parts(store, request)]
            whole = await store.range(request)
            assert [kv for part in found for kv in part.kvs] == list(whole.kvs)
            assert max(part.ByteSize() for part in found) <= PART_BYTES + 100
            assert found[-1].more is whole.more
        await store.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    "request_",
    [
        pb.RangeRequest(key=b"/a/0001"),
        pb.RangeRequest(key=b"/a", range_end=b"/b", count_only=True),
        pb.RangeRequest(key=b"/a", range_end=b"/b", sort_order=pb.RangeRequest.DESCEND),
        pb.RangeRequest(key=b"/a", range_end=b"/b", min_mod_revision=3),
        pb.RangeRequest(range_end=b"/b"),
    ],
)
def test_what_comes_whole(tmp_path: Path, request_: pb.RangeRequest) -> None:
    async def story() -> None:
        store = open_directory(tmp_path / "store")
        assert not comes_in_parts(store, request_)
        await store.close()

    asyncio.run(story())
