"""Snapshots of a store: the real etcdutl reads them, and a real etcd restored from one has the same data."""

import asyncio
import json
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import grpc

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.in_process import NodeStore, open_directory
from tests.peers import require
from tests.peers.servers import Etcd

OLDEST = 30


async def fill(store: NodeStore) -> None:
    """Puts, deletes, a lease, transactions that write keys out of order, a compaction in the middle, a user."""
    await store.lease_grant(pb.LeaseGrantRequest(ID=77, TTL=5000))
    for number in range(60):
        key, value = b"k%02d" % (number * 7 % 20), b"v%d" % number * (number % 9)
        await store.put(pb.PutRequest(key=key, value=value, lease=77 if number % 5 == 0 else 0))
        if number % 6 == 5:
            await store.delete_range(pb.DeleteRangeRequest(key=b"k%02d" % (number % 20)))
        if number % 10 == 9:
            puts = [pb.PutRequest(key=key, value=b"t%d" % number) for key in (b"z", b"k03", b"a")]
            await store.txn(pb.TxnRequest(success=[pb.RequestOp(request_put=put) for put in puts]))
    await store.compact(pb.CompactionRequest(revision=OLDEST))
    await store.put(pb.PutRequest(key=b"after", value=b"x" * 100_000))
    await store.call("/etcdserverpb.Auth/RoleAdd", pb.AuthRoleAddRequest(name="reader"), pb.AuthRoleAddResponse)
    user = pb.AuthUserAddRequest(name="ann", password="secret")
    await store.call("/etcdserverpb.Auth/UserAdd", user, pb.AuthUserAddResponse)
    grant = pb.AuthUserGrantRoleRequest(user="ann", role="reader")
    await store.call("/etcdserverpb.Auth/UserGrantRole", grant, pb.AuthUserGrantRoleResponse)


async def save(directory: Path, path: Path) -> tuple[pb.RangeResponse, pb.HashKVResponse]:
    store = open_directory(directory)
    try:
        await fill(store)
        with path.open("wb") as file:
            async for response in store.snapshot():
                file.write(response.blob)
        everything = await store.range(pb.RangeRequest(key=b"\0", range_end=b"\0"))
        hashed = await store.call("/etcdserverpb.Maintenance/HashKV", pb.HashKVRequest(), pb.HashKVResponse)
        return everything, hashed
    finally:
        await store.close()


def etcdutl(*args: object) -> str:
    argv = [str(require("etcdutl")), *(str(arg) for arg in args)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_an_etcd_restored_from_a_snapshot_has_the_same_data(tmp_path: Path, new_etcd: Callable[..., Etcd]) -> None:
    path = tmp_path / "snapshot.db"
    everything, hashed = asyncio.run(save(tmp_path / "store", path))
    status = json.loads(etcdutl("snapshot", "status", path, "-w", "json"))
    assert (status["revision"], status["totalKey"]) == (everything.header.revision, everything.count)

    etcdutl("snapshot", "restore", path, "--data-dir", tmp_path / "restored")
    etcd = new_etcd(data_dir=tmp_path / "restored")
    with grpc.insecure_channel(etcd.endpoint) as channel:

        def call(path: str, request: object, reply: type) -> object:
            return reply.FromString(channel.unary_unary(path)(request.SerializeToString(), timeout=120))

        restored = call("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"\0", range_end=b"\0"), pb.RangeResponse)
        assert list(restored.kvs) == list(everything.kvs)
        assert restored.header.revision == everything.header.revision
        again = call("/etcdserverpb.Maintenance/HashKV", pb.HashKVRequest(), pb.HashKVResponse)
        assert (again.hash, again.compact_revision) == (hashed.hash, hashed.compact_revision)
        lease = call(
            "/etcdserverpb.Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=77), pb.LeaseTimeToLiveResponse
        )
        assert lease.grantedTTL == 5000
        ann = call("/etcdserverpb.Auth/UserGet", pb.AuthUserGetRequest(name="ann"), pb.AuthUserGetResponse)
        assert ann.roles == ["reader"]
        old = pb.RangeRequest(key=b"\0", range_end=b"\0", revision=OLDEST)
        assert call("/etcdserverpb.KV/Range", old, pb.RangeResponse).kvs


def test_the_values_of_a_snapshot_are_not_in_memory(tmp_path: Path) -> None:
    """Neither those before the compaction, which have to be sorted, nor the history behind it."""
    size, count = 128 << 10, 240

    async def peak() -> int:
        store = open_directory(tmp_path / "store")
        try:
            for number in range(count):
                revision = (await store.put(pb.PutRequest(key=b"k%d" % number, value=bytes(size)))).header.revision
                if number == count // 2:
                    await store.compact(pb.CompactionRequest(revision=revision))
            tracemalloc.start()
            total = sum([len(response.blob) async for response in store.snapshot()])
            assert total > count * size
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            await store.close()

    assert asyncio.run(peak()) < count * size // 2
