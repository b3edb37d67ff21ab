"""The Lease service over a backend in memory, with a clock that the test moves."""

import random

import pytest
from google.protobuf.message import Message

from brainctl.clock import ManualClock
from brainctl.errors import LEASE_NOT_FOUND, NO_SPACE, ApiError, Code, Fenced
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.commit import Commit
from brainctl.node.backend import Reply
from brainctl.node.services import lease as lease_module
from brainctl.node.services.lease import LeaseService, _expired
from tests.support.memory import MemoryBackend


class World:
    def __init__(self, backend: MemoryBackend | None = None) -> None:
        self.backend = backend or MemoryBackend()
        self.backend.observers.clear()
        self.backend.timers.clear()
        self.clock = ManualClock()
        self.service = LeaseService(self.backend, self.clock, random.Random(1))
        self.commits: list[Commit] = []
        self.backend.subscribe(self.commits.append)

    def later(self, name: str, request: Message) -> list[object]:
        answers: list[object] = []
        body = request.SerializeToString()
        if name == "LeaseKeepAlive":
            self.service.keep_alive(body, answers.append)
        else:
            self.service.handlers()[f"/etcdserverpb.Lease/{name}"](body, answers.append)
        return answers

    def call(self, name: str, request: Message) -> bytes:
        (answer,) = self.later(name, request)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    def grant(self, lease: int = 0, ttl: int = 10) -> pb.LeaseGrantResponse:
        return pb.LeaseGrantResponse.FromString(self.call("LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=ttl)))

    def keep_alive(self, lease: int) -> int:
        return pb.LeaseKeepAliveResponse.FromString(self.call("LeaseKeepAlive", pb.LeaseKeepAliveRequest(ID=lease))).TTL

    def time_to_live(self, lease: int) -> pb.LeaseTimeToLiveResponse:
        request = pb.LeaseTimeToLiveRequest(ID=lease, keys=True)
        return pb.LeaseTimeToLiveResponse.FromString(self.call("LeaseTimeToLive", request))

    def put(self, key: bytes, lease: int = 0) -> None:
        self.backend.submit(Batch.put, pb.PutRequest(key=key, lease=lease), lambda _: None)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        timers, self.backend.timers = self.backend.timers, []
        for _, action in timers:
            action()
        while self.next_turn():
            pass

    def next_turn(self) -> bool:
        """Do what was left for the next turn of the event loop; whether there was anything."""
        now = [action for seconds, action in self.backend.timers if not seconds]
        self.backend.timers = [timer for timer in self.backend.timers if timer[0]]
        for action in now:
            action()
        return bool(now)


@pytest.fixture
def world() -> World:
    return World()


def test_a_grant_answers_with_what_was_granted(world: World) -> None:
    answer = world.grant(7, 1)
    assert (answer.ID, answer.TTL, answer.header.revision) == (7, 2, 1)


def test_ids_are_chosen_and_positive(world: World) -> None:
    found = {world.grant().ID for _ in range(100)}
    assert len(found) == 100
    assert min(found) > 0


def test_time_to_live_with_keys(world: World) -> None:
    world.grant(7)
    for key in (b"b", b"a"):
        world.put(key, 7)
    world.clock.advance(2.5)
    answer = world.time_to_live(7)
    assert (answer.ID, answer.TTL, answer.grantedTTL, list(answer.keys)) == (7, 7, 10, [b"a", b"b"])
    gone = world.time_to_live(8)
    assert (gone.ID, gone.TTL, gone.grantedTTL, gone.header.revision) == (8, -1, 0, 3)


def test_leases_are_listed(world: World) -> None:
    for lease, ttl in ((3, 30), (1, 10), (2, 20)):
        world.grant(lease, ttl)
    answer = pb.LeaseLeasesResponse.FromString(world.call("LeaseLeases", pb.LeaseLeasesRequest()))
    assert [lease.ID for lease in answer.leases] == [1, 2, 3]


def test_revoking_what_is_not_there(world: World) -> None:
    with pytest.raises(ApiError) as refused:
        world.call("LeaseRevoke", pb.LeaseRevokeRequest(ID=9))
    assert refused.value.status.code is Code.NOT_FOUND
    assert world.keep_alive(9) == 0


def test_expiry_deletes_the_keys(world: World) -> None:
    world.grant(7)
    world.put(b"a", 7)
    world.put(b"b", 7)
    for _ in range(19):
        world.pass_time(0.5)
    assert world.backend.view.get(b"a") is not None
    world.pass_time(0.5)
    assert [change.key for change in world.commits[-1].changes] == [b"a", b"b"]
    assert world.time_to_live(7).TTL == -1
    assert not world.backend.records(b"lease/")
    world.pass_time(0.5)
    assert not world.backend.timers, "nothing ticks without leases"


def test_keeping_alive_keeps_the_keys(world: World) -> None:
    world.grant(7)
    world.put(b"a", 7)
    for _ in range(100):
        assert world.keep_alive(7) == 10
        world.pass_time(0.5)
    assert world.backend.view.get(b"a") is not None


def test_an_expired_lease_is_not_kept_alive(world: World) -> None:
    world.grant(7)
    world.clock.advance(11)
    answers = world.later("LeaseKeepAlive", pb.LeaseKeepAliveRequest(ID=7))
    assert answers == []
    world.pass_time(0.5)
    (answer,) = answers
    assert isinstance(answer, bytes)
    assert pb.LeaseKeepAliveResponse.FromString(answer).TTL == 0


def test_expiry_is_at_most_a_thousand_a_second(world: World) -> None:
    for lease in range(1, 1202):
        world.grant(lease)
    world.pass_time(10)
    assert len(world.service.lessor) == 701
    world.pass_time(0.5)
    world.pass_time(0.5)
    assert len(world.service.lessor) == 0


def test_leases_that_end_together_are_revoked_a_few_in_a_turn(world: World) -> None:
    for lease in range(1, 41):
        world.grant(lease)
        for number in range(100):
            world.put(b"%d/%d" % (lease, number), lease)
    world.commits.clear()
    world.clock.advance(11)
    (timer,) = world.backend.timers
    world.backend.timers = []
    timer[1]()
    turns = [len(world.commits)]
    while world.next_turn():
        turns.append(len(world.commits) - sum(turns))
    assert sum(turns) == 40
    assert max(turns) <= 10


def test_attachments_are_found_again_after_a_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RECOVER_KEYS", 3)
    world.grant(7)
    for number in range(8):
        world.put(b"k%d" % number, 7 if number % 2 else 0)
    again = World(world.backend)
    asked = again.later("LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=7, keys=True))
    revoked = again.later("LeaseRevoke", pb.LeaseRevokeRequest(ID=7))
    assert not asked, "the keys are not known yet"
    assert not revoked
    again.put(b"k7")
    again.put(b"k0", 7)
    for _ in range(4):
        again.pass_time(0)
    (answer,) = asked
    assert isinstance(answer, bytes)
    assert list(pb.LeaseTimeToLiveResponse.FromString(answer).keys) == [b"k0", b"k1", b"k3", b"k5"]
    assert len(revoked) == 1
    assert [version.key for version in again.backend.view.versions(b"", None, 0)] == [b"k2", b"k4", b"k6", b"k7"]


def test_a_process_that_does_not_write_expires_nothing(world: World) -> None:
    world.grant(7)
    world.backend.term = 0
    world.pass_time(0.5)
    world.pass_time(100)
    assert world.service.lessor.get(7) is not None
    world.backend.term = 2
    world.pass_time(0.5)
    assert world.time_to_live(7).TTL == 10, "whoever takes over starts anew"
    world.pass_time(10)
    assert world.service.lessor.get(7) is None


def test_a_process_that_cannot_write_does_not_speak_of_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(evaluate: object, request: object, reply: Reply) -> None:
        del evaluate, request
        reply(Fenced("another process writes"))

    world.grant(7)
    world.backend.term = 0
    assert world.keep_alive(7) == 10, "it could take the lead"
    monkeypatch.setattr(world.backend, "submit", refuse)
    with pytest.raises(Fenced):
        world.keep_alive(7)
    with pytest.raises(Fenced):
        world.time_to_live(7)


@pytest.mark.parametrize("name", ["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive"])
def test_a_request_that_is_none_is_refused(world: World, name: str) -> None:
    answers: list[object] = []
    world.service.handlers()[f"/etcdserverpb.Lease/{name}"](b"\xff", answers.append)
    (answer,) = answers
    assert isinstance(answer, ApiError)
    assert answer.status.code is Code.INTERNAL


def test_an_expiry_that_is_refused_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again for ever: somebody has to hear of it. A lease that is gone meanwhile is no news."""
    _expired(7, ApiError(LEASE_NOT_FOUND))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    _expired(7, ApiError(NO_SPACE))
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "a lease has expired and could not be revoked lease=0000000000000007 error=" in record.getMessage()
