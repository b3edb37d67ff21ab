"""The same alarms raised, listed and cleared on a real etcd and on a node, with what they forbid in between."""

import grpc
import pytest
from google.protobuf.message import Message

from brainctl.clock import ManualClock
from brainctl.errors import ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.node import Node
from tests.conftest import NewEtcd
from tests.support.memory import MemoryBackend

ACT = pb.AlarmRequest
PUT = pb.PutRequest(key=b"a")
DELETE = pb.DeleteRangeRequest(key=b"a")
TXNS = [
    pb.TxnRequest(success=[pb.RequestOp(request_put=PUT)]),
    pb.TxnRequest(failure=[pb.RequestOp(request_put=PUT)]),
    pb.TxnRequest(success=[pb.RequestOp(request_delete_range=DELETE)]),
    pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))]),
]
MALFORMED: list[tuple[str, Message]] = [
    ("KV/Put", pb.PutRequest()),
    ("KV/Put", pb.PutRequest(key=b"a", lease=77)),
    ("KV/Put", pb.PutRequest(key=b"missing", ignore_value=True)),
    ("KV/Put", pb.PutRequest(key=b"a", value=b"v", ignore_value=True)),
    ("KV/Put", pb.PutRequest(key=b"a", value=bytes(1_600_000))),
    ("KV/DeleteRange", pb.DeleteRangeRequest()),
    ("KV/Txn", pb.TxnRequest(success=[pb.RequestOp(request_put=PUT)] * 2)),
    ("KV/Txn", pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest())])),
    ("KV/Txn", pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=b"a", lease=77))])),
    ("KV/Txn", pb.TxnRequest(success=[pb.RequestOp(request_delete_range=DELETE)] * 129)),
    ("KV/Compact", pb.CompactionRequest(revision=1 << 40)),
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=1 << 60)),
]
PROBES: list[tuple[str, Message]] = [
    *MALFORMED,
    ("KV/Put", PUT),
    ("KV/DeleteRange", DELETE),
    *(("KV/Txn", txn) for txn in TXNS),
    ("KV/Range", pb.RangeRequest(key=b"a")),
    ("Lease/LeaseGrant", pb.LeaseGrantRequest(ID=9, TTL=10)),
    ("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=9)),
]
STEPS = [
    (ACT.GET, pb.NONE, 0),
    (ACT.ACTIVATE, pb.NONE, 5),
    (ACT.ACTIVATE, pb.NOSPACE, 5),
    (ACT.ACTIVATE, pb.NOSPACE, 5),
    (ACT.GET, pb.NONE, 0),
    (ACT.GET, pb.CORRUPT, 5),
    (ACT.DEACTIVATE, pb.NOSPACE, 6),
    (ACT.DEACTIVATE, pb.CORRUPT, 5),
    (ACT.ACTIVATE, pb.CORRUPT, 0),
    (ACT.DEACTIVATE, pb.NOSPACE, 5),
    (ACT.GET, pb.NONE, 0),
    (ACT.DEACTIVATE, pb.CORRUPT, 0),
    (ACT.GET, pb.NONE, 0),
]


class Both:
    """A real etcd and a node."""

    def __init__(self, endpoint: str) -> None:
        self.channel = grpc.insecure_channel(endpoint)
        self.node = Node(MemoryBackend(), ManualClock())

    def reference(self, path: str, request: Message) -> bytes | str:
        try:
            reply: bytes = self.channel.unary_unary(f"/etcdserverpb.{path}")(request.SerializeToString(), timeout=120)
        except grpc.RpcError as error:
            return str(error.details())
        return reply

    def candidate(self, path: str, request: Message) -> bytes | str:
        answers: list[object] = []
        self.node.call(f"/etcdserverpb.{path}", request.SerializeToString(), answers.append)
        (answer,) = answers
        if isinstance(answer, ApiError):
            return str(answer)
        assert isinstance(answer, bytes)
        return answer

    def alarm(self, request: pb.AlarmRequest) -> None:
        wanted = self.reference("Maintenance/Alarm", request)
        got = self.candidate("Maintenance/Alarm", request)
        assert isinstance(wanted, bytes)
        assert isinstance(got, bytes)
        expected, answer = pb.AlarmResponse.FromString(wanted), pb.AlarmResponse.FromString(got)
        assert list(answer.alarms) == list(expected.alarms)
        assert answer.header.revision == expected.header.revision

    def probe(self) -> None:
        for path, request in PROBES:
            wanted, got = self.reference(path, request), self.candidate(path, request)
            if isinstance(wanted, str) or isinstance(got, str):
                assert got == wanted, path


def test_equal_to_etcd(new_etcd: NewEtcd) -> None:
    both = Both(new_etcd().endpoint)
    both.probe()
    for action, alarm, member in STEPS:
        both.alarm(pb.AlarmRequest(action=action, alarm=alarm, memberID=member))
        both.probe()


@pytest.mark.parametrize("alarm", [pb.NOSPACE, pb.CORRUPT])
def test_the_status_names_the_alarm_as_etcd_does(new_etcd: NewEtcd, alarm: pb.AlarmType) -> None:
    both = Both(new_etcd().endpoint)
    both.alarm(pb.AlarmRequest(action=ACT.ACTIVATE, alarm=alarm, memberID=5))
    wanted = both.reference("Maintenance/Status", pb.StatusRequest())
    got = both.candidate("Maintenance/Status", pb.StatusRequest())
    assert isinstance(wanted, bytes)
    assert isinstance(got, bytes)
    expected, answer = pb.StatusResponse.FromString(wanted), pb.StatusResponse.FromString(got)
    # Go's text of a message has one or two spaces between fields, at random.
    assert [error.split() for error in answer.errors] == [error.split() for error in expected.errors]
    assert (answer.version, answer.storageVersion) == (expected.version, expected.storageVersion)
    assert answer.HasField("downgradeInfo") == expected.HasField("downgradeInfo")
