"""Leases and what hangs on them survive a restart of a node over the local engine."""

import asyncio
from pathlib import Path

from brainctl.clock import ManualClock
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.in_process import NodeStore, open_directory


async def attached(store: NodeStore, lease: int) -> list[bytes]:
    answer = await store.lease_time_to_live(pb.LeaseTimeToLiveRequest(ID=lease, keys=True))
    return list(answer.keys)


async def keys(store: NodeStore) -> list[bytes]:
    return [kv.key for kv in (await store.range(pb.RangeRequest(key=b"\0", range_end=b"\0"))).kvs]


def test_a_lease_and_its_keys_are_there_again(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        store = open_directory(tmp_path, clock)
        for lease in (7, -8):
            await store.lease_grant(pb.LeaseGrantRequest(ID=lease, TTL=100))
        for key, lease in ((b"a", 7), (b"b", 7), (b"c", -8), (b"d", 0), (b"b", 0)):
            await store.put(pb.PutRequest(key=key, lease=lease))
        await store.close()

        clock.advance(50)
        store = open_directory(tmp_path, clock)
        assert {lease.ID for lease in (await store.leases()).leases} == {-8, 7}
        assert await attached(store, 7) == [b"a"]
        answer = await store.lease_time_to_live(pb.LeaseTimeToLiveRequest(ID=-8))
        assert (answer.grantedTTL, answer.TTL) == (100, 100), "its whole time again"
        before = (await store.status()).header.revision
        await store.lease_revoke(pb.LeaseRevokeRequest(ID=7))
        assert await keys(store) == [b"b", b"c", b"d"]
        assert (await store.status()).header.revision == before + 1
        await store.close()

        store = open_directory(tmp_path, clock)
        assert [lease.ID for lease in (await store.leases()).leases] == [-8]
        assert await keys(store) == [b"b", b"c", b"d"]
        await store.close()

    asyncio.run(run())


def test_a_lease_that_expires_is_gone_for_good(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        store = open_directory(tmp_path, clock)
        await store.lease_grant(pb.LeaseGrantRequest(ID=7, TTL=100))
        await store.put(pb.PutRequest(key=b"a", lease=7))
        clock.advance(100)
        # An expired lease answers when it is revoked, which the service does by itself.
        assert (await store.lease_keep_alive(7)).TTL == 0
        assert await keys(store) == []
        await store.close()

        store = open_directory(tmp_path, clock)
        assert await keys(store) == []
        assert not (await store.leases()).leases
        await store.close()

    asyncio.run(run())
