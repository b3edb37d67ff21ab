"""Stores compared by the hashes that `brainctl serve` computes: what goes over the wire, and who may ask."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from brainctl.clock import SystemClock
from brainctl.errors import PERMISSION_DENIED, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import verification_pb2 as vpb
from brainctl.stores.etcd.store import EtcdStore
from brainctl.stores.etcd.target import EtcdTarget
from brainctl.verify.compare import Comparison, Report
from brainctl.verify.difference import Difference, ExtraKey, Mismatch, MissingKey
from brainctl.verify.range_hashes import HASH_RANGE, hashes_of
from brainctl.verify.reading import StoreReader
from tests.conftest import NewBrainctl, NewEtcd
from tests.peers.servers import Server

KEYS = 6_000
SIZE = 300
LITTLE = 8_000
"""Bytes; the contents are two million."""


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


@asynccontextmanager
async def clients(*servers: Server) -> AsyncIterator[list[EtcdStore]]:
    target = EtcdTarget((), dial_timeout=60, command_timeout=120, counted=True)
    async with AsyncExitStack() as stack:
        stores = [EtcdStore(replace(target, endpoints=(server.endpoint,))) for server in servers]
        for store in stores:
            stack.push_async_callback(store.close)
        yield stores


async def fill(store: EtcdStore) -> None:
    for first in range(0, KEYS, 100):
        puts = [pb.PutRequest(key=b"/k/%06d" % n, value=b"v" * SIZE) for n in range(first, first + 100)]
        await store.txn(pb.TxnRequest(success=[pb.RequestOp(request_put=put) for put in puts]))


def received(store: EtcdStore) -> int:
    assert store.received is not None
    return store.received


async def compare(expected: EtcdStore, found: EtcdStore) -> Report:
    return await Comparison(StoreReader(expected), StoreReader(found), SystemClock(), leases=False, auth=False).run()


async def change(store: EtcdStore) -> Difference:
    await store.put(pb.PutRequest(key=b"/k/003579", value=b"w"))
    return Mismatch(b"/k/003579", ("mod_revision", "version", "value"))


def test_equal_servers_cost_kilobytes_and_a_difference_few_more(new_brainctl: NewBrainctl) -> None:
    async def story() -> None:
        async with clients(new_brainctl(), new_brainctl()) as (left, right):
            await asyncio.gather(fill(left), fill(right))
            before = received(left), received(right)
            report = await compare(left, right)
            assert report.equal, report.differences[:3]
            assert (report.keys, report.hashed) == (KEYS, KEYS)
            assert report.bytes > KEYS * SIZE
            assert max(received(left) - before[0], received(right) - before[1]) < LITTLE

            before = received(left), received(right)
            difference = await change(right)
            await left.put(pb.PutRequest(key=b"/z", value=b"w"))
            found = await compare(left, right)
            assert found.differences == [difference, MissingKey(b"/z")]
            assert 0 < found.keys - found.hashed < 100
            assert max(received(left) - before[0], received(right) - before[1]) < 4 * LITTLE

    run(story())


def test_control_without_the_hashes_all_is_read(new_brainctl: NewBrainctl, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(_store: object) -> None:
        return None

    monkeypatch.setattr("brainctl.verify.reading.hashes_of", none)
    pages: list[int] = []
    shown = EtcdStore.range

    async def counted(self: EtcdStore, request: pb.RangeRequest) -> pb.RangeResponse:
        response = await shown(self, request)
        pages.append(response.ByteSize())
        return response

    monkeypatch.setattr(EtcdStore, "range", counted)

    async def story() -> None:
        async with clients(new_brainctl()) as (left,):
            await fill(left)
            report = await compare(left, left)
            assert (report.keys, report.hashed) == (KEYS, 0)
            assert sum(pages) > 2 * KEYS * SIZE

    run(story())


def test_an_etcd_is_read_and_a_brainctl_hashed(new_etcd: NewEtcd, new_brainctl: NewBrainctl) -> None:
    async def story() -> None:
        async with clients(new_etcd(), new_brainctl()) as (etcd, ours):
            assert await hashes_of(etcd) is None
            await asyncio.gather(fill(etcd), fill(ours))
            before = received(ours)
            for left, right in ((etcd, ours), (ours, etcd)):
                report = await compare(left, right)
                assert report.equal
                assert (report.keys, report.hashed) == (KEYS, KEYS)
            assert received(ours) - before < 2 * LITTLE
            difference = await change(ours)
            await etcd.put(pb.PutRequest(key=b"/z", value=b"w"))
            assert (await compare(etcd, ours)).differences == [difference, MissingKey(b"/z")]
            assert (await compare(ours, etcd)).differences == [difference, ExtraKey(b"/z")]

    run(story())


def test_a_range_is_hashed_for_those_who_may_read_it(new_brainctl: NewBrainctl) -> None:
    async def story() -> None:
        async with clients(new_brainctl()) as (store,):
            await store.put(pb.PutRequest(key=b"a1", value=b"v"))
            permission = {"permType": "READ", "key": b"a", "range_end": b"b"}
            auth = "/etcdserverpb.Auth/"
            for name in ("root", "user"):
                await store.call(
                    auth + "UserAdd", pb.AuthUserAddRequest(name=name, password="pass"), pb.AuthUserAddResponse
                )
                await store.call(auth + "RoleAdd", pb.AuthRoleAddRequest(name=name), pb.AuthRoleAddResponse)
                grant = pb.AuthUserGrantRoleRequest(user=name, role=name)
                await store.call(auth + "UserGrantRole", grant, pb.AuthUserGrantRoleResponse)
            may = pb.AuthRoleGrantPermissionRequest(name="user", perm=permission)  # type: ignore[arg-type]
            await store.call(auth + "RoleGrantPermission", may, pb.AuthRoleGrantPermissionResponse)
            await store.call(auth + "AuthEnable", pb.AuthEnableRequest(), pb.AuthEnableResponse)
            as_user = EtcdStore(replace(store.target, user="user", password="pass"))
            try:
                own = vpb.HashRangeRequest(key=b"a", range_end=b"b", keys=10)
                found = await as_user.call(HASH_RANGE, own, vpb.HashRangeResponse)
                assert [part.keys for part in found.parts] == [1]
                more = vpb.HashRangeRequest(key=b"a", range_end=b"c", keys=10)
                with pytest.raises(ApiError) as refused:
                    await as_user.call(HASH_RANGE, more, vpb.HashRangeResponse)
                assert refused.value.status == PERMISSION_DENIED
            finally:
                await as_user.close()

    run(story())
