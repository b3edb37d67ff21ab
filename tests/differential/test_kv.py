"""The same random KV requests to the rules and to a real etcd: every reply and error must be equal, field by field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainctl.errors import ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import lease_record
from brainctl.mvcc.keyversion import put_version
from brainctl.node.kv import KvService
from tests.differential import operations
from tests.peers.servers import Etcd
from tests.support.memory import MemoryMedium

LEASES = (7, 8)
REPLIES: dict[type[Message], tuple[str, type[Message]]] = {
    pb.RangeRequest: ("/etcdserverpb.KV/Range", pb.RangeResponse),
    pb.PutRequest: ("/etcdserverpb.KV/Put", pb.PutResponse),
    pb.DeleteRangeRequest: ("/etcdserverpb.KV/DeleteRange", pb.DeleteRangeResponse),
    pb.TxnRequest: ("/etcdserverpb.KV/Txn", pb.TxnResponse),
    pb.CompactionRequest: ("/etcdserverpb.KV/Compact", pb.CompactionResponse),
}
Outcome = tuple[str, object]


class Pair:
    """A real etcd and the rules, with the same history."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.number = 0
        self.etcd: Etcd | None = None
        self.diverged = False
        self.start()

    def start(self) -> None:
        self.stop()
        self.number += 1
        self.etcd = Etcd(self.directory / str(self.number)).start()
        self.channel = grpc.insecure_channel(self.etcd.endpoint)
        self.medium = MemoryMedium()
        self.rules = KvService(self.medium).handlers()
        for lease in LEASES:
            self.raw("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=100_000))
            self.medium.view.meta[lease_record(lease)] = b"granted"
        self.diverged = False

    def stop(self) -> None:
        if self.etcd is not None:
            self.channel.close()
            self.etcd.stop()

    def raw(self, path: str, request: Message) -> bytes:
        reply: bytes = self.channel.unary_unary(path)(request.SerializeToString(), timeout=10)
        return reply

    def reference(self, request: Message) -> Outcome:
        path, reply = REPLIES[type(request)]
        try:
            return "ok", plain(reply.FromString(self.raw(path, request)))
        except grpc.RpcError as error:
            return "error", (error.code().value[0], error.details())

    def candidate(self, request: Message) -> Outcome:
        path, reply = REPLIES[type(request)]
        answers: list[bytes | ApiError] = []
        self.rules[path](request.SerializeToString(), answers.append)
        (answer,) = answers
        if isinstance(answer, ApiError):
            return "error", (int(answer.status.code), answer.status.message)
        return "ok", plain(reply.FromString(answer))


def plain(reply: Any) -> Any:
    """A reply without what differs from one cluster to another."""
    reply.header.ClearField("cluster_id")
    reply.header.ClearField("member_id")
    reply.header.ClearField("raft_term")
    return reply


def sorted_alike(request: Message, outcome: Outcome) -> Outcome:
    """etcd's sort is not stable: put keys that tie on the sort target into key order, when the rest is in order."""
    if outcome[0] == "ok" and isinstance(request, pb.RangeRequest) and request.sort_target:
        reply: Any = outcome[1]
        field = ["key", "version", "create_revision", "mod_revision", "value"][request.sort_target]
        targets = [getattr(kv, field) for kv in reply.kvs]
        if not request.keys_only:
            assert targets == sorted(targets, reverse=request.sort_order == pb.RangeRequest.DESCEND)
        kvs = sorted(reply.kvs, key=lambda kv: bytes(kv.key))
        del reply.kvs[:]
        reply.kvs.extend(kvs)
    return outcome


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("differential"))
    yield pair
    pair.stop()


def ask(pair: Pair, request: Message) -> None:
    expected = sorted_alike(request, pair.reference(request))
    got = sorted_alike(request, pair.candidate(request))
    if expected != got:
        pair.diverged = True
    assert got == expected, f"{type(request).__name__}: {request}"


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_every_reply_and_error_is_etcds(pair: Pair, data: st.DataObject) -> None:
    if pair.diverged:
        pair.start()
    ask(pair, pb.DeleteRangeRequest(key=b"\0", range_end=b"\0"))
    base = pair.medium.view.revision

    def absolute(offset: int | None) -> int:
        return 0 if offset is None else pair.medium.view.revision + offset if offset > -1000 else -1

    revision = operations.offsets.map(absolute)
    request = st.one_of(
        operations.puts,
        operations.puts,
        operations.puts,
        operations.deletes,
        operations.ranges(revision),
        operations.ranges(revision),
        operations.txns(revision),
        operations.txns(revision),
        st.builds(
            pb.CompactionRequest, revision=revision.map(lambda r: max(1, min(r, base))), physical=st.just(value=True)
        ),
    )
    for _ in range(data.draw(st.integers(1, 20))):
        asked = data.draw(request)
        if isinstance(asked, pb.RangeRequest) and asked.sort_target:
            asked.limit = 0
        ask(pair, asked)


def test_control_a_wrong_rule_is_seen(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainctl.mvcc.batch.put_version", lambda *a: put_version(*a)._replace(lease=0))
    request = pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=b"c", value=b"v", lease=7))])
    guard = pb.Compare(key=b"c", target=pb.Compare.LEASE, result=pb.Compare.EQUAL, lease=7)
    ask(pair, request)
    with pytest.raises(AssertionError):
        ask(pair, pb.TxnRequest(compare=[guard]))
