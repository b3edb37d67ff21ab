"""Several instances over one store on TiKV are one etcd: whichever is asked, and whichever is lost."""

import json
import signal
import threading
from collections.abc import Iterator

import grpc
import pytest

from brainctl.etcdpb import rpc_pb2 as pb
from tests.conftest import NewBrainctl
from tests.e2e.instances import LEAD_LEASE, History, Put, Service, check
from tests.peers.servers import Playground, brainctl, etcdctl
from tests.support.rpc import Refused, Remote
from tests.support.until import SECONDS, until

NAMES = ("a", "b", "c")


def test_three_instances_are_one_cluster(new_brainctl: NewBrainctl, tikv: Playground, tikv_url: str) -> None:
    del tikv
    service = Service(new_brainctl, tikv_url, NAMES)
    leader = service.leader()
    known = service.members(leader)
    assert len({member.ID for member in known.values()}) == len(NAMES)
    for name, server in service.servers.items():
        assert list(known[name].clientURLs) == [f"http://{server.endpoint}"]
        shown = brainctl("endpoint", "status", "--cluster", "-w", "json", "--endpoints", server.endpoint)
        statuses = [entry["Status"] for entry in json.loads(shown.stdout)]
        assert {int(status["header"]["member_id"]) for status in statuses} == {m.ID for m in known.values()}
        assert {int(status["leader"]) for status in statuses} == {known[leader].ID}

    follower = service.others(leader)[0]
    for name in NAMES:
        revision = service.put(name, b"k", name.encode())
        for reader in NAMES:
            assert service.get(reader, b"k") == name.encode()
        watched = service.apis[follower].stream(
            "/etcdserverpb.Watch/Watch",
            [pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k", start_revision=revision, prev_kv=True))],
            2,
        )
        assert [event.kv.mod_revision for response in watched for event in response.events] == [revision]

    api = service.apis[follower]
    api.call("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ID=7, TTL=600))
    api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"leased", lease=7))
    (alive,) = api.stream("/etcdserverpb.Lease/LeaseKeepAlive", [pb.LeaseKeepAliveRequest(ID=7)], 1)
    assert alive.TTL == 600
    lived = api.call("/etcdserverpb.Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=7, keys=True))
    assert (lived.grantedTTL, list(lived.keys)) == (600, [b"leased"])
    api.call("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=7))
    assert service.get(follower, b"leased") is None
    changed = pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=b"t", value=b"v"))])
    assert api.call("/etcdserverpb.KV/Txn", changed).succeeded
    api.call("/etcdserverpb.KV/Compact", pb.CompactionRequest(revision=service.put(follower, b"k")))
    refused = etcdctl(service.servers[leader].endpoint, "get", "k", "--rev", "2")
    assert "required revision has been compacted" in refused.stderr


def test_users_are_the_same_on_every_instance(new_brainctl: NewBrainctl, tikv: Playground, tikv_url: str) -> None:
    """A token of one instance is good on the others, and the leader checks who sent what was forwarded."""
    del tikv
    service = Service(new_brainctl, tikv_url, NAMES[:2])
    leader = service.leader()
    (follower,) = service.others(leader)
    at = service.servers[follower].endpoint
    for command in (
        ("user", "add", "root:pw"),
        ("user", "grant-role", "root", "root"),
        ("user", "add", "u:pw"),
        ("role", "add", "r"),
        ("role", "grant-permission", "r", "readwrite", "mine"),
        ("user", "grant-role", "u", "r"),
        ("auth", "enable"),
    ):
        done = etcdctl(at, *command)
        assert done.returncode == 0, done.stderr
    assert etcdctl(at, "--user", "u:pw", "put", "mine", "v").returncode == 0
    denied = etcdctl(at, "--user", "u:pw", "put", "other", "v")
    assert "permission denied" in denied.stderr
    for name in NAMES[:2]:
        assert "user name is empty" in etcdctl(service.servers[name].endpoint, "put", "mine", "v").stderr
        assert "user name is empty" in etcdctl(service.servers[name].endpoint, "get", "mine").stderr
    token = service.apis[follower].call(
        "/etcdserverpb.Auth/Authenticate", pb.AuthenticateRequest(name="u", password="pw")
    )
    for api in service.apis.values():
        api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"mine", value=b"w"), token.token)
        (kv,) = api.call("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"mine"), token.token).kvs
        assert kv.value == b"w"


def test_an_instance_with_the_name_of_a_living_one_is_refused(
    new_brainctl: NewBrainctl, tikv: Playground, tikv_url: str
) -> None:
    del tikv
    first = new_brainctl("--name", "a", store=tikv_url)
    second = brainctl("serve", "--store", tikv_url, "--listen", "127.0.0.1:0", "--name", "a")
    assert second.returncode == 11, second.stderr
    assert f"a at http://{first.endpoint} (process {first.pid} on " in second.stderr
    assert "--name" in second.stderr


def test_without_a_leader_only_reads_go_on(new_brainctl: NewBrainctl, tikv: Playground, tikv_url: str) -> None:
    """A follower never leads. Writes time out as etcd's do; with the metadata hasleader a read is refused too, and an
    open watch is ended.
    """
    del tikv
    leader = new_brainctl("--name", "a", "--role", "leader", store=tikv_url)
    follower = new_brainctl("--name", "b", "--role", "follower", store=tikv_url)
    api = Remote(follower.endpoint)
    api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"before"))
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k"))
    with grpc.insecure_channel(follower.endpoint) as channel:
        watch = channel.stream_stream(
            "/etcdserverpb.Watch/Watch", pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
        )
        read = channel.unary_unary(
            "/etcdserverpb.KV/Range", pb.RangeRequest.SerializeToString, pb.RangeResponse.FromString
        )
        over = threading.Event()
        streams = [watch(_open(create, over), metadata=metadata) for metadata in ((("hasleader", "true"),), ())]
        assert all(next(stream).created for stream in streams)
        needing, other = streams
        read(pb.RangeRequest(key=b"k"), metadata=(("hasleader", "true"),), timeout=SECONDS)
        assert leader.stop() == 0
        with pytest.raises(grpc.RpcError, match="etcdserver: no leader"):
            next(needing)
        with pytest.raises(grpc.RpcError, match="etcdserver: no leader"):
            read(pb.RangeRequest(key=b"k"), metadata=(("hasleader", "true"),), timeout=SECONDS)
        read(pb.RangeRequest(key=b"k"), timeout=SECONDS)
        status = api.call("/etcdserverpb.Maintenance/Status", pb.StatusRequest())
        assert (status.leader, list(status.errors)) == (0, ["etcdserver: no leader"])
        with pytest.raises(Refused, match="etcdserver: request timed out"):
            api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"other"))
        leader.start()
        Remote(leader.endpoint).call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"k"))
        assert [event.kv.key for event in next(other).events] == [b"k"]
        over.set()


def _open(request: pb.WatchRequest, over: threading.Event) -> Iterator[pb.WatchRequest]:
    """A request, and then nothing until it is over: the client's half of the stream stays open."""
    yield request
    over.wait(SECONDS)


def test_leases_outlive_the_leader_and_end_without_their_client(
    new_brainctl: NewBrainctl, tikv: Playground, tikv_url: str
) -> None:
    """Who takes over gives every lease its whole time; one that nobody keeps alive still ends."""
    del tikv
    service = Service(new_brainctl, tikv_url, NAMES[:2], *LEAD_LEASE)
    leader = service.leader()
    (follower,) = service.others(leader)
    api = service.apis[follower]
    for lease, ttl in ((1, 600), (2, 3), (3, 3)):
        api.call("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=ttl))
        api.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"leased/%d" % lease, lease=lease))
    service.servers[leader].kill()
    kept = 0

    def keeps() -> bool:
        """The lease 2 is kept alive by its client; it must be there each time, also while there is no leader."""
        nonlocal kept
        (answer,) = api.stream("/etcdserverpb.Lease/LeaseKeepAlive", [pb.LeaseKeepAliveRequest(ID=2)], 1)
        assert answer.TTL == 3
        kept += 1
        return kept > 3 and service.created(follower, b"leased/3") == 0

    until("the lease that nobody keeps has ended", keeps)
    assert service.created(follower, b"leased/2")
    lived = api.call("/etcdserverpb.Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=1))
    assert lived.TTL > 300


def test_no_write_and_no_event_is_lost_when_leaders_are_killed_paused_and_stopped(
    new_brainctl: NewBrainctl, tikv: Playground, tikv_url: str
) -> None:
    del tikv
    service = Service(new_brainctl, tikv_url, NAMES, *LEAD_LEASE)
    history = History(service)
    history.start()
    history.progress(20)

    killed = service.leader()
    service.servers[killed].kill()
    until("another one leads", lambda: service.leader(*service.others(killed)) != killed)
    history.progress(20)
    service.servers[killed].start()

    paused = service.leader(*service.others(killed))
    process = service.servers[paused].child
    assert process is not None
    process.process.send_signal(signal.SIGSTOP)
    try:
        others = service.others(paused)
        until("another one leads", lambda: service.leader(*others) != paused)
        meanwhile = history.put(others[0], b"while-paused")
    finally:
        process.process.send_signal(signal.SIGCONT)
    assert service.created(paused, meanwhile.key) == meanwhile.revision, "who wakes up serves no stale read"
    history.progress(20)

    stopped = service.leader()
    assert service.servers[stopped].stop() == 0
    history.progress(20)
    through = service.others(stopped)[0]
    history.finish(through)
    history.check()


PUTS = [Put(b"k%d" % n, n) for n in range(2, 6)]


@pytest.mark.parametrize(
    "events",
    [
        PUTS[:2] + PUTS[3:],
        PUTS[:-1],
        [*PUTS, PUTS[-1]],
        [PUTS[1], PUTS[0], *PUTS[2:]],
        [*PUTS, Put(b"k2", 6)],
        [*PUTS, Put(b"alien", 6)],
    ],
    ids=["lost", "last-lost", "doubled", "reordered", "applied-twice", "of-nobody"],
)
def test_the_check_of_a_history_finds(events: list[Put]) -> None:
    check(PUTS, 2, PUTS, set())
    check([*PUTS, Put(b"maybe", 6)], 2, PUTS, {b"maybe", b"never"})
    with pytest.raises(AssertionError):
        check(events, 2, PUTS, set())
