"""The hash of a history equals the one that a real etcd computes after the same operations."""

from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainctl.errors import COMPACTED, FUTURE_REVISION, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.hashkv import Hasher, KvHash, hash_kv
from brainctl.mvcc.steps import finish
from tests.peers.servers import Etcd
from tests.support.memory import MemoryBackend

KEYS = [b"a", b"b", b"c", b"d"]
puts = st.builds(pb.PutRequest, key=st.sampled_from(KEYS), value=st.binary(max_size=40))
txns = st.lists(puts, min_size=1, max_size=4, unique_by=lambda put: put.key).map(
    lambda found: pb.TxnRequest(success=[pb.RequestOp(request_put=put) for put in found])
)
deletes = st.builds(pb.DeleteRangeRequest, key=st.sampled_from(KEYS), range_end=st.sampled_from([b"", b"c", b"z"]))
compactions = st.integers(0, 3)
histories = st.lists(puts | txns | deletes | compactions, min_size=1, max_size=25)


class Pair:
    """A real etcd and a store in memory that get the same requests; each history starts from what is there."""

    def __init__(self, server: Etcd) -> None:
        self.channel = grpc.insecure_channel(server.endpoint)
        self.backend = MemoryBackend()

    def etcd(self, path: str, request: Message) -> bytes:
        reply: bytes = self.channel.unary_unary(path)(request.SerializeToString(), timeout=120)
        return reply

    def apply(self, step: Message | int) -> None:
        if isinstance(step, pb.PutRequest):
            self.etcd("/etcdserverpb.KV/Put", step)
            self.backend.submit(Batch.put, step, lambda _: None)
        elif isinstance(step, pb.TxnRequest):
            self.etcd("/etcdserverpb.KV/Txn", step)
            self.backend.submit(Batch.txn, step, lambda _: None)
        elif isinstance(step, pb.DeleteRangeRequest):
            self.etcd("/etcdserverpb.KV/DeleteRange", step)
            self.backend.submit(Batch.delete_range, step, lambda _: None)
        elif isinstance(step, int) and self.backend.revision - step > max(self.backend.compacted, 1):
            request = pb.CompactionRequest(revision=self.backend.revision - step, physical=True)
            self.etcd("/etcdserverpb.KV/Compact", request)
            self.backend.submit(Batch.compact, request, lambda _: None)

    def etcd_hash(self, revision: int) -> KvHash:
        body = self.etcd("/etcdserverpb.Maintenance/HashKV", pb.HashKVRequest(revision=revision))
        answer = pb.HashKVResponse.FromString(body)
        return KvHash(answer.hash, answer.compact_revision, answer.hash_revision)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    directory: Path = tmp_path_factory.mktemp("hashkv")
    server = Etcd(directory)
    with server:
        yield Pair(server)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=histories)
def test_equal_to_etcd(pair: Pair, steps: list[Message | int]) -> None:
    for step in steps:
        pair.apply(step)
    newest, compacted = pair.backend.revision, pair.backend.compacted
    # etcd answers for the compacted revision itself from a cache, with the compaction before it.
    for revision in {0, newest, max(compacted + 1, newest - 2)} - {compacted}:
        if revision <= newest:
            assert hash_kv(pair.backend.view, revision) == pair.etcd_hash(revision)


def test_a_transaction_is_hashed_with_its_sub_revisions(pair: Pair) -> None:
    txn = pb.TxnRequest(
        success=[
            pb.RequestOp(request_put=pb.PutRequest(key=b"z", value=b"1")),
            pb.RequestOp(request_put=pb.PutRequest(key=b"y", value=b"2")),
            pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a", range_end=b"e")),
        ]
    )
    pair.etcd("/etcdserverpb.KV/Txn", txn)
    pair.backend.submit(Batch.txn, txn, lambda _: None)
    assert hash_kv(pair.backend.view) == pair.etcd_hash(0)
    pair.apply(pb.DeleteRangeRequest(key=b"\0", range_end=b"\0"))
    assert hash_kv(pair.backend.view) == pair.etcd_hash(0)


def history(*requests: pb.PutRequest) -> MemoryBackend:
    backend = MemoryBackend()
    for request in requests:
        backend.submit(Batch.put, request, lambda _: None)
    return backend


def test_every_field_counts() -> None:
    base = pb.PutRequest(key=b"k", value=b"v")
    others = [
        [pb.PutRequest(key=b"l", value=b"v")],
        [pb.PutRequest(key=b"k", value=b"w")],
        [base, base],
        [],
    ]
    hashes = {hash_kv(history(*requests).view).hash for requests in [[base], *others]}
    assert len(hashes) == len(others) + 1


def test_revisions_that_are_not_there() -> None:
    backend = history(*[pb.PutRequest(key=b"k")] * 5)
    backend.submit(Batch.compact, pb.CompactionRequest(revision=4), lambda _: None)
    for revision, status in ((3, COMPACTED), (7, FUTURE_REVISION)):
        with pytest.raises(ApiError) as refused:
            hash_kv(backend.view, revision)
        assert refused.value.status == status
    assert hash_kv(backend.view, 4).revision == 4


def test_the_order_of_the_base_does_not_matter() -> None:
    versions = list(history(*[pb.PutRequest(key=b"%d" % n) for n in range(5)]).view.versions(b"", None, 0))
    forwards, backwards = Hasher(9, 9), Hasher(9, 9)
    finish(forwards.base(versions))
    finish(backwards.base(versions[::-1]))
    assert forwards.value() == backwards.value()
