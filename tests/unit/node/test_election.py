"""v3election on a node, on `brainctl serve` and on a real etcd."""

from itertools import count

import pytest

from brainctl.errors import Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import v3election_pb2 as electionpb
from tests.support.apis import api as api  # noqa: PLC0414 - pytest finds fixtures by their name here
from tests.support.rbac import KV, LEASE
from tests.support.rpc import Api, Pending, Refused
from tests.unit.node.test_lock import until

ELECTION = "/v3electionpb.Election/"
NUMBERS = count(1)


class Election:
    """An election of the test's own."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.name = b"election%d" % next(NUMBERS)

    def campaign(self, lease: int, value: bytes) -> Pending:
        """Run; returns once the candidate is known."""
        request = electionpb.CampaignRequest(name=self.name, lease=lease, value=value)
        pending = self.api.start(ELECTION + "Campaign", request)
        key = pb.RangeRequest(key=self.name + b"/%x" % lease)
        until(lambda: bool(self.api.call(KV + "Range", key).count))
        return pending

    def lease(self) -> int:
        return int(self.api.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(TTL=1000)).ID)

    def leader(self) -> electionpb.LeaderResponse:
        found = self.api.call(ELECTION + "Leader", electionpb.LeaderRequest(name=self.name))
        assert isinstance(found, electionpb.LeaderResponse)
        return found

    def refused(self, name: str, request: object) -> tuple[Code, str]:
        with pytest.raises(Refused) as refused:
            self.api.call(ELECTION + name, request)  # type: ignore[arg-type]
        return refused.value.code, refused.value.text


@pytest.fixture
def election(api: Api) -> Election:
    return Election(api)


def test_the_first_candidate_leads(election: Election) -> None:
    lease = election.lease()
    won = election.campaign(lease, b"me").next()
    assert (won.leader.name, won.leader.key, won.leader.lease) == (
        election.name,
        election.name + b"/%x" % lease,
        lease,
    )
    assert won.leader.rev == won.header.revision
    shown = election.leader().kv
    assert (shown.key, shown.value, shown.create_revision) == (won.leader.key, b"me", won.leader.rev)


def test_a_candidate_that_runs_again_proclaims_its_new_value(election: Election) -> None:
    lease = election.lease()
    first = election.campaign(lease, b"one").next()
    second = election.campaign(lease, b"two").next()
    assert second.leader == first.leader
    assert election.leader().kv.value == b"two"


def test_the_next_candidate_leads_when_the_leader_resigns(election: Election) -> None:
    first, second = election.lease(), election.lease()
    leader = election.campaign(first, b"first").next().leader
    pending = election.campaign(second, b"second")
    assert election.leader().kv.value == b"first"
    election.api.call(ELECTION + "Resign", electionpb.ResignRequest(leader=leader))
    assert pending.next().leader.lease == second
    assert election.leader().kv.value == b"second"


def test_a_candidate_that_goes_away_does_not_run_any_more(election: Election) -> None:
    first, second = election.lease(), election.lease()
    leader = election.campaign(first, b"first").next().leader
    election.campaign(second, b"second").cancel()
    key = pb.RangeRequest(key=election.name + b"/%x" % second)
    until(lambda: not election.api.call(KV + "Range", key).count)
    election.api.call(ELECTION + "Resign", electionpb.ResignRequest(leader=leader))
    assert election.refused("Leader", electionpb.LeaderRequest(name=election.name)) == (
        Code.UNKNOWN,
        "election: no leader",
    )


def test_only_the_leader_proclaims(election: Election) -> None:
    leader = election.campaign(election.lease(), b"one").next().leader
    election.api.call(ELECTION + "Proclaim", electionpb.ProclaimRequest(leader=leader, value=b"two"))
    assert election.leader().kv.value == b"two"
    election.api.call(ELECTION + "Resign", electionpb.ResignRequest(leader=leader))
    request = electionpb.ProclaimRequest(leader=leader, value=b"three")
    assert election.refused("Proclaim", request) == (Code.UNKNOWN, "election: not leader")


def test_whoever_resigns_twice_is_not_told(election: Election) -> None:
    leader = election.campaign(election.lease(), b"one").next().leader
    for _ in range(2):
        election.api.call(ELECTION + "Resign", electionpb.ResignRequest(leader=leader))


@pytest.mark.parametrize("name", ["Proclaim", "Resign"])
def test_the_leader_must_be_named(election: Election, name: str) -> None:
    request = electionpb.ProclaimRequest() if name == "Proclaim" else electionpb.ResignRequest()
    assert election.refused(name, request) == (Code.UNKNOWN, '"leader" field must be provided')


def test_observers_see_every_leader_and_what_it_proclaims(election: Election) -> None:
    first, second = election.lease(), election.lease()
    observer = election.api.start(ELECTION + "Observe", electionpb.LeaderRequest(name=election.name))
    leader = election.campaign(first, b"one").next().leader
    assert observer.next().kv.value == b"one"
    election.api.call(ELECTION + "Proclaim", electionpb.ProclaimRequest(leader=leader, value=b"two"))
    assert observer.next().kv.value == b"two"
    pending = election.campaign(second, b"three")
    election.api.call(ELECTION + "Resign", electionpb.ResignRequest(leader=leader))
    shown = observer.next()
    assert (shown.kv.value, shown.kv.lease) == (b"three", second)
    assert pending.next().leader.key == shown.kv.key
    observer.cancel()
