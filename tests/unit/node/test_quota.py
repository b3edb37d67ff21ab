"""The space quota: `brainctl serve` and a real etcd fill up, refuse, make room and go on (B2, trap 22)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from brainctl.clock import ManualClock
from brainctl.errors import NO_SPACE, ApiError
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.node import Node
from brainctl.node.options import QUOTA_DEFAULT_BYTES, NodeOptions
from brainctl.node.quota import COSTS, Quota, fitting
from tests.peers.servers import Brainctl, Etcd
from tests.support.memory import MemoryBackend
from tests.support.rpc import Api, Refused, Remote

KV, LEASE, MAINTENANCE = "/etcdserverpb.KV/", "/etcdserverpb.Lease/", "/etcdserverpb.Maintenance/"
QUOTA = 400_000
VALUE = b"v" * 20_000
NewApi = Callable[..., Api]


@pytest.fixture(params=["brainctl", "etcd"])
def new_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewApi]:
    """Starts a server with flags."""
    started: list[tuple[Any, Remote]] = []

    def start(*flags: str) -> Api:
        kind = Brainctl if request.param == "brainctl" else Etcd
        server = kind(tmp_path_factory.mktemp(request.param), *flags).start()
        started.append((server, Remote(server.endpoint)))
        return started[-1][1]

    yield start
    for server, remote in started:
        remote.close()
        server.stop()


def put(key: bytes, value: bytes = b"") -> pb.PutRequest:
    return pb.PutRequest(key=key, value=value)


def fill(api: Api) -> list[bytes]:
    """Put until it is refused; the keys that were accepted."""
    keys: list[bytes] = []
    while len(keys) < 1000:
        key = b"fill/%04d" % len(keys)
        try:
            api.call(KV + "Put", put(key, VALUE))
        except Refused as error:
            if (error.code, error.text) != NO_SPACE:
                raise
            return keys
        keys.append(key)
    raise AssertionError("the quota was not enforced")


def is_refused(api: Api, path: str, request: Message) -> bool:
    try:
        api.call(path, request)
    except Refused as error:
        if (error.code, error.text) != NO_SPACE:
            raise
        return True
    return False


def operation(request: pb.PutRequest | pb.DeleteRangeRequest | pb.RangeRequest) -> pb.RequestOp:
    match request:
        case pb.PutRequest():
            return pb.RequestOp(request_put=request)
        case pb.DeleteRangeRequest():
            return pb.RequestOp(request_delete_range=request)
        case _:
            return pb.RequestOp(request_range=request)


def test_b2_a_full_store_refuses_growth_until_there_is_room_and_the_alarm_is_cleared(new_api: NewApi) -> None:
    api = new_api("--quota-backend-bytes", str(QUOTA))
    lease = api.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(TTL=1000)).ID
    keys = fill(api)
    assert len(keys) > 10  # etcd measures its size only when it commits, and goes far beyond
    # The alarm is up, and names the member.
    (alarm,) = api.call(MAINTENANCE + "Alarm", pb.AlarmRequest()).alarms
    status = api.call(MAINTENANCE + "Status", pb.StatusRequest())
    assert (alarm.alarm, alarm.memberID) == (pb.NOSPACE, status.header.member_id)
    assert [error.split() for error in status.errors] == [[f"memberID:{alarm.memberID}", "alarm:NOSPACE"]]
    assert status.dbSizeQuota == QUOTA
    # What grows is refused, however small, and leaves nothing behind.
    before = api.call(KV + "Range", pb.RangeRequest(key=b"\0", range_end=b"\0"))
    assert [kv.key for kv in before.kvs] == keys
    delete = pb.DeleteRangeRequest(key=b"nothing")
    assert is_refused(api, KV + "Put", put(b"a"))
    assert is_refused(api, KV + "Txn", pb.TxnRequest(success=[operation(delete), operation(put(b"a"))]))
    assert is_refused(api, LEASE + "LeaseGrant", pb.LeaseGrantRequest(TTL=100))
    assert api.call(KV + "Range", pb.RangeRequest(key=b"\0", range_end=b"\0")) == before
    # What makes room, and what only reads, is not.
    assert not is_refused(api, KV + "Txn", pb.TxnRequest(success=[operation(pb.RangeRequest(key=b"a"))]))
    assert not is_refused(api, KV + "Txn", pb.TxnRequest(success=[operation(delete)]))
    assert not is_refused(api, LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))
    gone = api.call(KV + "DeleteRange", pb.DeleteRangeRequest(key=b"fill/", range_end=b"fill0"))
    assert gone.deleted == len(keys)
    api.call(KV + "Compact", pb.CompactionRequest(revision=gone.header.revision, physical=True))
    api.call(MAINTENANCE + "Defragment", pb.DefragmentRequest())
    # Room alone does not clear the alarm.
    assert is_refused(api, KV + "Put", put(b"a"))
    api.call(
        MAINTENANCE + "Alarm",
        pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, alarm=pb.NOSPACE, memberID=alarm.memberID),
    )
    assert not is_refused(api, KV + "Put", put(b"a"))
    assert not api.call(MAINTENANCE + "Alarm", pb.AlarmRequest()).alarms
    assert len(fill(api)) > 5


def test_b2_a_store_does_not_grow_beyond_its_quota(tmp_path: Path) -> None:
    with Brainctl(tmp_path, "--quota-backend-bytes", str(QUOTA)) as server:
        api = Remote(server.endpoint)
        assert fill(api)
        assert api.call(MAINTENANCE + "Status", pb.StatusRequest()).dbSize < QUOTA
        api.close()


def test_b2_an_alarm_that_is_cleared_without_room_is_raised_again(new_api: NewApi) -> None:
    api = new_api("--quota-backend-bytes", str(QUOTA))
    fill(api)
    (alarm,) = api.call(MAINTENANCE + "Alarm", pb.AlarmRequest()).alarms
    api.call(
        MAINTENANCE + "Alarm",
        pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, alarm=pb.NOSPACE, memberID=alarm.memberID),
    )
    assert is_refused(api, KV + "Put", put(b"large", b"v" * 1_000_000))
    assert list(api.call(MAINTENANCE + "Alarm", pb.AlarmRequest()).alarms) == [alarm]


@pytest.mark.parametrize(("flags", "quota"), [((), 2 << 30), (("--quota-backend-bytes", "0"), 2 << 30)])
def test_b2_the_default_is_2_gib(new_api: NewApi, flags: tuple[str, ...], quota: int) -> None:
    assert new_api(*flags).call(MAINTENANCE + "Status", pb.StatusRequest()).dbSizeQuota == quota


def test_b2_a_negative_quota_is_none(new_api: NewApi) -> None:
    api = new_api("--quota-backend-bytes", "-5")
    assert api.call(MAINTENANCE + "Status", pb.StatusRequest()).dbSizeQuota == -5
    assert not is_refused(api, KV + "Put", put(b"a", VALUE))


# -- the rules ------------------------------------------------------------------------------------------------------

keys = st.binary(max_size=20)
puts = st.builds(pb.PutRequest, key=keys, value=st.binary(max_size=300), lease=st.integers(0, 9))
operations = st.recursive(
    st.one_of(
        puts.map(operation),
        st.builds(pb.DeleteRangeRequest, key=keys).map(operation),
        st.builds(pb.RangeRequest, key=keys).map(operation),
    ),
    lambda inner: st.builds(
        lambda success, failure: pb.RequestOp(request_txn=pb.TxnRequest(success=success, failure=failure)),
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4),
    ),
    max_leaves=10,
)
txns = st.builds(pb.TxnRequest, success=st.lists(operations, max_size=4), failure=st.lists(operations, max_size=4))


@given(st.one_of(puts.map(lambda put: ("Put", put)), txns.map(lambda txn: ("Txn", txn))))
def test_a_request_that_is_short_enough_fits(case: tuple[str, Message]) -> None:
    name, request = case
    body = request.SerializeToString()
    cost = COSTS[KV + name](body)
    for room in (cost, cost + 1):
        assert len(body) > fitting(room) or cost < room


@pytest.mark.parametrize(
    ("request_", "cost"),
    [
        (put(b"key", b"value"), 264),
        (pb.TxnRequest(success=[operation(put(b"ab"))], failure=[operation(put(b"abc"))]), 259),
        (pb.TxnRequest(success=[operation(pb.DeleteRangeRequest(key=b"ab"))]), 0),
    ],
)
def test_b2_what_fits_to_the_byte(request_: Message, cost: int) -> None:
    """As in etcd the size and the cost together must stay below the quota."""
    path = KV + ("Put" if isinstance(request_, pb.PutRequest) else "Txn")
    backend = MemoryBackend()
    body = request_.SerializeToString()
    assert COSTS[path](body) == cost
    backend.size = 1000
    assert Quota(backend, 1000 + cost + 1).admits(path, body)
    assert Quota(backend, 1000 + cost).admits(path, body) == (cost == 0)


def test_a_quota_that_is_not_set_admits_everything() -> None:
    backend = MemoryBackend()
    backend.size = 1 << 50
    assert Quota(backend, -1).admits(KV + "Put", b"")
    assert Quota(backend, None).admits(KV + "Put", b"")
    assert Quota(backend, None).bytes == 0
    assert Quota(backend, 0).bytes == QUOTA_DEFAULT_BYTES


def test_a_write_without_room_is_answered_once_the_alarm_is_durable() -> None:
    backend = MemoryBackend()
    backend.size = 1000
    node = Node(backend, ManualClock(), options=NodeOptions(quota_bytes=1000))
    answers: list[object] = []
    node.call(KV + "Put", put(b"a").SerializeToString(), answers.append)
    (answer,) = answers
    assert isinstance(answer, ApiError)
    assert answer.status == NO_SPACE
    assert backend.view.get(b"a") is None
    assert backend.records(b"alarm/")
