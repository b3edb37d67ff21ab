"""What an alarm forbids, request by request."""

import pytest
from google.protobuf.message import Message

from brainctl.clock import ManualClock
from brainctl.errors import CORRUPT, NO_SPACE, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.node import Node
from tests.support.memory import MemoryBackend

PUT = pb.PutRequest(key=b"a", value=b"v")
DELETE = pb.DeleteRangeRequest(key=b"a")
WITH_PUT = pb.TxnRequest(failure=[pb.RequestOp(request_put=PUT)])
REQUESTS: dict[str, tuple[str, Message]] = {
    "put": ("KV/Put", PUT),
    "delete": ("KV/DeleteRange", DELETE),
    "txn that puts": ("KV/Txn", WITH_PUT),
    "txn with a txn that puts": ("KV/Txn", pb.TxnRequest(success=[pb.RequestOp(request_txn=WITH_PUT)])),
    "txn that deletes": ("KV/Txn", pb.TxnRequest(success=[pb.RequestOp(request_delete_range=DELETE)])),
    "range": ("KV/Range", pb.RangeRequest(key=b"a")),
    "compact": ("KV/Compact", pb.CompactionRequest(revision=2)),
    "grant": ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=10)),
    "revoke": ("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=7)),
    "status": ("Maintenance/Status", pb.StatusRequest()),
}
GROWING = {"put", "txn that puts", "txn with a txn that puts", "grant"}
READING = {"range", "status"}


class World:
    def __init__(self) -> None:
        self.node = Node(MemoryBackend(), ManualClock())
        self.call("KV/Put", PUT)
        self.call("Lease/LeaseGrant", pb.LeaseGrantRequest(ID=7, TTL=10))

    def call(self, path: str, request: Message) -> object:
        answers: list[object] = []
        self.node.call(f"/etcdserverpb.{path}", request.SerializeToString(), answers.append)
        (answer,) = answers
        return answer

    def alarm(self, action: pb.AlarmRequest.AlarmAction, alarm: pb.AlarmType) -> None:
        answer = self.call("Maintenance/Alarm", pb.AlarmRequest(action=action, alarm=alarm, memberID=2))
        assert isinstance(answer, bytes)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize(("alarm", "status"), [(pb.NOSPACE, NO_SPACE), (pb.CORRUPT, CORRUPT)])
def test_what_an_alarm_forbids(name: str, alarm: pb.AlarmType, status: object) -> None:
    world = World()
    world.alarm(pb.AlarmRequest.ACTIVATE, alarm)
    answer = world.call(*REQUESTS[name])
    forbidden = GROWING if alarm == pb.NOSPACE else REQUESTS.keys() - READING
    if name in forbidden:
        assert isinstance(answer, ApiError)
        assert answer.status == status
        world.alarm(pb.AlarmRequest.DEACTIVATE, alarm)
        answer = world.call(*REQUESTS[name])
    assert isinstance(answer, bytes)


def test_unknown_methods_are_named() -> None:
    answer = World().call("Maintenance/Nothing", pb.MoveLeaderRequest())
    assert isinstance(answer, ApiError)
    assert answer.status.message == "unknown method Nothing for service etcdserverpb.Maintenance"
