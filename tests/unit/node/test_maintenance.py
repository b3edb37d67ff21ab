"""The Maintenance and Cluster services over a backend in memory."""

import asyncio

import pytest
from google.protobuf.message import Message

from brainctl.clock import ManualClock
from brainctl.errors import ApiError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import steps
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.hashkv import hash_kv
from brainctl.node.services.cluster import ClusterService
from brainctl.node.services.maintenance.service import MaintenanceService
from tests.support.async_view import SlowView
from tests.support.memory import MemoryBackend


class World:
    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.service = MaintenanceService(self.backend, ManualClock())
        self.handlers = self.service.handlers() | ClusterService(self.backend, "here", ["http://h:1"]).handlers()

    def call(self, path: str, request: Message) -> bytes:
        answers: list[object] = []
        self.handlers[f"/etcdserverpb.{path}"](request.SerializeToString(), answers.append)
        while self.backend.work:
            asyncio.run(self.backend.work.pop())
        (answer,) = answers
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    def alarm(self, action: pb.AlarmRequest.AlarmAction, alarm: pb.AlarmType = pb.NONE, member: int = 2) -> list[int]:
        request = pb.AlarmRequest(action=action, alarm=alarm, memberID=member)
        answer = pb.AlarmResponse.FromString(self.call("Maintenance/Alarm", request))
        assert answer.header.member_id == 2
        return [alarm.alarm for alarm in answer.alarms]

    def status(self) -> pb.StatusResponse:
        return pb.StatusResponse.FromString(self.call("Maintenance/Status", pb.StatusRequest()))

    def put(self, key: bytes) -> None:
        self.backend.submit(Batch.put, pb.PutRequest(key=key, value=b"v"), lambda _: None)

    def delete(self, key: bytes) -> None:
        self.backend.submit(Batch.delete_range, pb.DeleteRangeRequest(key=key), lambda _: None)

    def compact(self, revision: int) -> None:
        self.backend.submit(Batch.compact, pb.CompactionRequest(revision=revision), lambda _: None)


@pytest.fixture
def world() -> World:
    return World()


def test_status(world: World) -> None:
    world.backend.size, world.backend.size_in_use = 100, 40
    world.put(b"a")
    status = world.status()
    assert (status.version, status.storageVersion) == ("3.7.3", "3.7.0")
    assert (status.leader, status.header.member_id, status.raftTerm, status.raftIndex) == (2, 2, 3, 2)
    assert (status.dbSize, status.dbSizeInUse, status.isLearner, list(status.errors)) == (100, 40, False, [])


def test_an_unknown_size_is_not_zero(world: World) -> None:
    assert world.status().dbSize == 1


def test_alarms(world: World) -> None:
    act = pb.AlarmRequest
    assert world.alarm(act.GET) == []
    assert world.alarm(act.ACTIVATE, pb.NOSPACE) == [pb.NOSPACE]
    assert world.alarm(act.ACTIVATE, pb.NOSPACE) == [pb.NOSPACE]
    assert world.alarm(act.ACTIVATE, pb.CORRUPT) == [pb.CORRUPT]
    assert world.alarm(act.ACTIVATE, pb.NONE) == []
    assert sorted(world.alarm(act.GET)) == [pb.NOSPACE, pb.CORRUPT]
    assert world.alarm(act.GET, pb.CORRUPT) == [pb.CORRUPT]
    assert world.alarm(act.DEACTIVATE, pb.NOSPACE, member=9) == []
    assert world.alarm(act.DEACTIVATE, pb.NOSPACE) == [pb.NOSPACE]
    assert world.alarm(act.GET) == [pb.CORRUPT]
    assert list(world.status().errors) == ["memberID:2 alarm:CORRUPT"]


def test_alarms_are_durable(world: World) -> None:
    world.alarm(pb.AlarmRequest.ACTIVATE, pb.NOSPACE)
    world.service = MaintenanceService(world.backend, ManualClock())
    assert list(world.status().errors) == ["memberID:2 alarm:NOSPACE"]


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("slice_keys", [1, 1000])
def test_hash_kv_in_slices_is_the_hash_of_the_view(
    world: World, remote: bool, slice_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "SLICE_KEYS", slice_keys)

    def check(revision: int) -> None:
        view = world.backend.view
        if remote:
            world.backend.view = SlowView(view)
        body = world.call("Maintenance/HashKV", pb.HashKVRequest(revision=revision))
        world.backend.view = view
        answer = pb.HashKVResponse.FromString(body)
        assert (answer.hash, answer.compact_revision, answer.hash_revision) == hash_kv(view, revision)
        assert answer.header.revision == view.revision

    check(0)
    for number in range(9):
        world.put(b"k%d" % (number % 7))
    check(0)
    check(5)
    world.compact(8)
    check(0)
    check(9)
    for number in range(7):
        world.delete(b"k%d" % number)
    check(0)


def test_hash_kv_of_what_is_not_there(world: World) -> None:
    for _ in range(5):
        world.put(b"a")
    world.compact(4)
    for revision in (3, 9):
        with pytest.raises(ApiError) as refused:
            world.call("Maintenance/HashKV", pb.HashKVRequest(revision=revision))
        assert refused.value.status.code is Code.OUT_OF_RANGE


def test_hash_covers_leases(world: World) -> None:
    world.put(b"a")
    first = pb.HashResponse.FromString(world.call("Maintenance/Hash", pb.HashRequest())).hash
    world.backend.view.meta[b"lease/0000000000000007"] = bytes(8)
    assert pb.HashResponse.FromString(world.call("Maintenance/Hash", pb.HashRequest())).hash != first


def test_defragment(world: World) -> None:
    assert world.call("Maintenance/Defragment", pb.DefragmentRequest()) == b""


def test_member_list(world: World) -> None:
    answer = pb.MemberListResponse.FromString(world.call("Cluster/MemberList", pb.MemberListRequest()))
    (member,) = answer.members
    assert (member.ID, member.name, list(member.clientURLs), member.isLearner) == (2, "here", ["http://h:1"], False)
    assert (answer.header.cluster_id, answer.header.member_id, answer.header.revision) == (1, 2, 0)
