"""The Cluster service, MoveLeader and Downgrade of one member: a node, `brainctl serve` and a real etcd."""

from collections.abc import Iterator

import pytest
from google.protobuf.message import Message

from brainctl.errors import (
    BAD_TRANSFEREE,
    DOWNGRADE_IN_PROGRESS,
    DOWNGRADE_VERSION_INVALID,
    DOWNGRADE_VERSION_MALFORMED,
    MEMBER_NOT_FOUND,
    MEMBER_NOT_LEARNER,
    MEMBER_URLS_INVALID,
    MEMBER_URLS_TAKEN,
    TOO_FEW_STARTED,
    TOO_MANY_LEARNERS,
    UNHEALTHY,
    UNKNOWN_METHOD,
    Status,
)
from brainctl.etcdpb import rpc_pb2 as pb
from tests.peers.servers import Brainctl, Etcd
from tests.support.rpc import Api, InProcess, Refused, Remote

CLUSTER = "/etcdserverpb.Cluster/"
MAINTENANCE = "/etcdserverpb.Maintenance/"


@pytest.fixture(scope="module", params=["node", "brainctl", "etcd"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A member that takes no learners."""
    if request.param == "node":
        node = InProcess()
        yield node
        node.close()
        return
    directory = tmp_path_factory.mktemp(request.param)
    with Brainctl(directory) if request.param == "brainctl" else Etcd(directory, "--max-learners", "0") as server:
        remote = Remote(server.endpoint)
        yield remote
        remote.close()


def refusal(api: Api, path: str, request: Message) -> Status:
    with pytest.raises(Refused) as refused:
        api.call(path, request)
    return Status(refused.value.code, refused.value.text)


def member(api: Api) -> pb.Member:
    (only,) = api.call(CLUSTER + "MemberList", pb.MemberListRequest()).members
    return only  # type: ignore[no-any-return]


UNREADABLE = [
    [],
    ["x"],
    [""],
    ["127.0.0.1:1"],
    ["http://127.0.0.1"],
    ["http://127.0.0.1:1/path"],
    ["http://h:1/"],
    ["http://h:abc"],
    ["http://a:b:1"],
    ["ftp://127.0.0.1:80"],
    ["http://h:1", "bad"],
]
READABLE = [
    ["http://127.0.0.1:9"],
    [" http://127.0.0.1:9 "],
    ["HTTPS://h:1"],
    ["http://[::1]:1"],
    ["http://:1"],
    ["http://h:"],
    ["http://h:99999"],
    ["http://h:1?x"],
    ["http://u:p@h:1"],
    ["unix://b"],
    ["unixs:b"],
    ["http://h:1", "https://h:2"],
]


@pytest.mark.parametrize("urls", UNREADABLE, ids=str)
@pytest.mark.parametrize("learner", [False, True])
def test_b1_a_member_without_good_urls_is_refused(api: Api, urls: list[str], learner: bool) -> None:
    request = pb.MemberAddRequest(peerURLs=urls, isLearner=learner)
    assert refusal(api, CLUSTER + "MemberAdd", request) == MEMBER_URLS_INVALID


@pytest.mark.parametrize("urls", READABLE, ids=str)
def test_b1_learners_are_refused_as_where_none_may_be(api: Api, urls: list[str]) -> None:
    request = pb.MemberAddRequest(peerURLs=urls, isLearner=True)
    assert refusal(api, CLUSTER + "MemberAdd", request) == TOO_MANY_LEARNERS


@pytest.mark.parametrize("learner", [False, True])
def test_b1_the_urls_of_the_member_are_taken(api: Api, learner: bool) -> None:
    update = pb.MemberUpdateRequest(ID=member(api).ID, peerURLs=["http://127.0.0.1:77"])
    api.call(CLUSTER + "MemberUpdate", update)
    request = pb.MemberAddRequest(peerURLs=["http://127.0.0.1:77"], isLearner=learner)
    assert refusal(api, CLUSTER + "MemberAdd", request) == MEMBER_URLS_TAKEN


def test_b1_a_voting_member_is_refused() -> None:
    """Not on a real etcd: it would say yes, and never again anything else."""
    node = InProcess()
    assert refusal(node, CLUSTER + "MemberAdd", pb.MemberAddRequest(peerURLs=["http://h:1"])) == UNHEALTHY
    node.close()


@pytest.mark.parametrize("method", ["Remove", "Promote", "Update"])
@pytest.mark.parametrize("number", [0, 5])
def test_b1_there_is_no_other_member(api: Api, method: str, number: int) -> None:
    kinds = {"Remove": pb.MemberRemoveRequest, "Promote": pb.MemberPromoteRequest, "Update": pb.MemberUpdateRequest}
    assert refusal(api, f"{CLUSTER}Member{method}", kinds[method](ID=number)) == MEMBER_NOT_FOUND


def test_b1_the_only_member_stays_and_votes(api: Api) -> None:
    number = member(api).ID
    assert refusal(api, CLUSTER + "MemberRemove", pb.MemberRemoveRequest(ID=number)) == TOO_FEW_STARTED
    assert refusal(api, CLUSTER + "MemberPromote", pb.MemberPromoteRequest(ID=number)) == MEMBER_NOT_LEARNER


@pytest.mark.parametrize("urls", [["http://127.0.0.1:88"], ["x", "x", ""], []], ids=str)
def test_b1_the_urls_of_the_member_can_be_changed(api: Api, urls: list[str]) -> None:
    before = member(api)
    response = api.call(CLUSTER + "MemberUpdate", pb.MemberUpdateRequest(ID=before.ID, peerURLs=urls))
    del before.peerURLs[:]
    before.peerURLs.extend(urls)
    assert list(response.members) == [before]
    assert member(api) == before
    assert response.header.member_id == before.ID
    assert response.header.revision == 0


def test_b5_the_lead_stays_where_it_is(api: Api) -> None:
    response = api.call(MAINTENANCE + "MoveLeader", pb.MoveLeaderRequest(targetID=member(api).ID))
    assert response == pb.MoveLeaderResponse()
    for number in (0, 5):
        request = pb.MoveLeaderRequest(targetID=number)
        assert refusal(api, MAINTENANCE + "MoveLeader", request) == BAD_TRANSFEREE


def downgrade(api: Api, action: int, version: str = "") -> Status | str:
    request = pb.DowngradeRequest(action=action, version=version)  # type: ignore[arg-type]
    try:
        response = api.call(MAINTENANCE + "Downgrade", request)
    except Refused as error:
        return Status(error.code, error.text)
    assert response.header.revision == 1
    return str(response.version)


VALIDATE, ENABLE, CANCEL = pb.DowngradeRequest.VALIDATE, pb.DowngradeRequest.ENABLE, pb.DowngradeRequest.CANCEL
MALFORMED = ["", "x", "3", "v3.6", "3.6.x", "3.6.0.0", "3.6 "]
FOREIGN = ["3.7", "3.7.0", "3.8", "3.5", "4.6", "2.9.9", "3.60"]


def test_b5_a_downgrade_goes_one_release_back(api: Api) -> None:
    for action in (VALIDATE, ENABLE):
        assert {downgrade(api, action, version) for version in MALFORMED} == {DOWNGRADE_VERSION_MALFORMED}
        assert {downgrade(api, action, version) for version in FOREIGN} == {DOWNGRADE_VERSION_INVALID}
    assert {downgrade(api, VALIDATE, version) for version in ("3.6", "3.6.0", "3.6.9", "3.6.1-rc.0+x")} == {"3.7"}
    assert {downgrade(api, action, "3.6") for action in (3, 9)} == {UNKNOWN_METHOD}
    assert downgrade(api, CANCEL) == downgrade(api, CANCEL, "x") == "3.7"


def test_b5_one_downgrade_at_a_time(api: Api) -> None:
    assert status(api).downgradeInfo == pb.DowngradeInfo()
    assert downgrade(api, ENABLE, "3.6") == "3.7"
    assert downgrade(api, ENABLE, "3.6.0") == DOWNGRADE_IN_PROGRESS
    assert downgrade(api, VALIDATE, "3.6") == DOWNGRADE_IN_PROGRESS
    assert downgrade(api, ENABLE, "3.5") == DOWNGRADE_VERSION_INVALID
    assert status(api).downgradeInfo == pb.DowngradeInfo(enabled=True, targetVersion="3.6.0")
    assert isinstance(downgrade(api, CANCEL), str)
    assert status(api).downgradeInfo == pb.DowngradeInfo()


def status(api: Api) -> pb.StatusResponse:
    return api.call(MAINTENANCE + "Status", pb.StatusRequest())  # type: ignore[no-any-return]
