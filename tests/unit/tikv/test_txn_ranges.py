"""Transactions with ranges read no more than they show, whether they write or not; told by what TiKV is asked for."""

import asyncio

import pytest

from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.tikv import open_tikv_replica
from brainctl.tikv.backend import TikvBackend
from brainctl.tikv.client import limits
from tests.peers.servers import Playground
from tests.unit.tikv.calls import Waiting, send
from tests.unit.tikv.conftest import OpenBackend
from tests.unit.tikv.test_replica import checkpoint

KEYS = 3_000
RANGE = {"key": b"k", "range_end": b"l"}
LIMITED = pb.RequestOp(request_range=pb.RangeRequest(**RANGE, limit=1))
NAMES = pb.RequestOp(request_range=pb.RangeRequest(**RANGE, limit=2, keys_only=True))
COUNTED = pb.RequestOp(request_range=pb.RangeRequest(**RANGE, count_only=True))
PUT = pb.RequestOp(request_put=pb.PutRequest(key=b"k00000/new"))
DELETE = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"k00000", range_end=b"k00010"))
MIXES = {
    "reads": [LIMITED] * 64 + [COUNTED] * 64,
    "a put before": [PUT] + [LIMITED] * 64 + [COUNTED] * 63,
    "a put between": [LIMITED] * 63 + [PUT] + [COUNTED] * 64,
    "names": [NAMES] * 64 + [PUT] + [COUNTED] * 63,
    "the first are deleted": [DELETE] + [LIMITED] * 64 + [COUNTED] * 63,
}


async def fill(tikv: Playground, prefix: str) -> None:
    """Bring in KEYS keys, as of revision 2."""
    replica = await open_tikv_replica(tikv.url(prefix))
    await replica.take_over(checkpoint())
    kv = kv_pb2.KeyValue(create_revision=2, mod_revision=2, version=1, value=b"v" * 50).SerializeToString()
    kvs = [kv + kv_pb2.KeyValue(key=b"k%05d" % number).SerializeToString() for number in range(KEYS)]
    await replica.import_base(kvs, 2, checkpoint())
    await replica.close()


async def answered(backend: TikvBackend, request: pb.TxnRequest) -> pb.TxnResponse:
    """The response, by the way of those that only read where it does."""
    if PUT in request.success or DELETE in request.success:
        return pb.TxnResponse.FromString(await send(backend, request))
    waiting = Waiting()
    backend.read(request, waiting)
    return pb.TxnResponse.FromString(await waiting.future)


@pytest.mark.parametrize("mix", MIXES)
def test_a_transaction_reads_what_it_shows(
    tikv: Playground, prefix: str, backend_of: OpenBackend, mix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of keys is read once, and kept; of the pairs only the first are read, also when those are deleted."""
    monkeypatch.setattr(limits, "LARGEST_PAGE", 64)
    monkeypatch.setattr("brainctl.tikv.prefetched_view.FIRST_KEYS", 64)

    async def run() -> None:
        await fill(tikv, prefix)
        async with backend_of() as backend:
            traffic = backend._client.traffic
            for names in (KEYS, 0):
                before = dict(traffic.keys), traffic.count("scan")
                response = await answered(backend, pb.TxnRequest(success=MIXES[mix]))
                assert traffic.keys["scan"] - before[0].get("scan", 0) <= 200
                assert traffic.count("scan") - before[1] <= 8
                assert traffic.keys["scan_keys"] - before[0].get("scan_keys", 0) <= names
            found = [op.response_range for op in response.responses if op.HasField("response_range")]
            first = b"k00010" if DELETE in MIXES[mix] else b"k00000"
            shown = 2 if NAMES in MIXES[mix] else 1
            assert [len(one.kvs) for one in found if one.more] == [shown] * (64 - (mix == "a put between"))
            assert {one.kvs[0].key for one in found if one.more} == {first}
            assert {one.count for one in found} == {KEYS - 10 if DELETE in MIXES[mix] else KEYS + (PUT in MIXES[mix])}

    asyncio.run(run())
