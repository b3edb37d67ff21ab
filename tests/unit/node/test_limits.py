"""The limits of a server, set by the same flags on `brainctl serve` and on a real etcd (traps 3 and 13)."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from brainctl.errors import REQUEST_TOO_LARGE, TOO_MANY_OPS, Code, Status
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.wire import frames
from tests.peers import require
from tests.peers.ports import free_port
from tests.peers.process import Child
from tests.peers.servers import Brainctl, Etcd, brainctl_argv, clean_environment, etcdctl
from tests.support.rpc import Refused, Remote

KV = "/etcdserverpb.KV/"
FLAGS = ("--max-request-bytes", "10000", "--max-txn-ops", "3", "--max-concurrent-streams", "7")


@pytest.fixture(scope="module", params=["brainctl", "etcd"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brainctl | Etcd]:
    kind = Brainctl if request.param == "brainctl" else Etcd
    with kind(tmp_path_factory.mktemp(request.param), *FLAGS) as started:
        yield started


@pytest.fixture
def api(server: Brainctl | Etcd) -> Iterator[Remote]:
    remote = Remote(server.endpoint)
    yield remote
    remote.close()


def outcome(api: Remote, method: str, request: pb.PutRequest | pb.TxnRequest | pb.DeleteRangeRequest) -> Status | None:
    try:
        api.call(KV + method, request)
    except Refused as error:
        return Status(error.code, error.text)
    return None


def puts(count: int, first: int = 0) -> list[pb.RequestOp]:
    return [pb.RequestOp(request_put=pb.PutRequest(key=b"%d" % (first + number))) for number in range(count)]


def compares(count: int) -> list[pb.Compare]:
    return [pb.Compare(key=b"a", result=pb.Compare.GREATER, target=pb.Compare.MOD) for _ in range(count)]


def nested(inner: pb.TxnRequest, beside: int = 0) -> pb.TxnRequest:
    return pb.TxnRequest(success=[pb.RequestOp(request_txn=inner), *puts(beside, 100)])


ALLOWED = [
    pb.TxnRequest(success=puts(3)),
    pb.TxnRequest(failure=puts(3)),
    pb.TxnRequest(compare=compares(3), success=puts(3), failure=puts(3)),
    nested(pb.TxnRequest(success=puts(2))),
    nested(pb.TxnRequest(success=puts(1)), beside=1),
    nested(nested(pb.TxnRequest(success=puts(1)))),
]
REFUSED = [
    pb.TxnRequest(success=puts(4)),
    pb.TxnRequest(failure=puts(4)),
    pb.TxnRequest(compare=compares(4)),
    nested(pb.TxnRequest(success=puts(3))),
    nested(pb.TxnRequest(success=puts(2)), beside=1),
    nested(nested(pb.TxnRequest(success=puts(2)))),
    pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))] * 4),
]


@pytest.mark.parametrize("request_", ALLOWED, ids=lambda request: str(request.ByteSize()))
def test_i3_03_so_many_operations_are_taken(api: Remote, request_: pb.TxnRequest) -> None:
    assert outcome(api, "Txn", request_) is None


@pytest.mark.parametrize("request_", REFUSED, ids=lambda request: str(request.ByteSize()))
def test_i3_03_and_one_more_is_not(api: Remote, request_: pb.TxnRequest) -> None:
    assert outcome(api, "Txn", request_) == TOO_MANY_OPS


def test_b2_a_write_may_be_as_long_as_the_limit(api: Remote) -> None:
    put = pb.PutRequest(key=b"a", value=b"v" * 9_900)
    assert outcome(api, "Put", put) is None
    assert outcome(api, "Txn", pb.TxnRequest(success=[pb.RequestOp(request_put=put)])) is None


def test_b2_a_longer_write_is_refused(api: Remote) -> None:
    put = pb.PutRequest(key=b"a", value=b"v" * 10_000)
    assert outcome(api, "Put", put) == REQUEST_TOO_LARGE
    assert outcome(api, "Txn", pb.TxnRequest(success=[pb.RequestOp(request_put=put)])) == REQUEST_TOO_LARGE
    assert outcome(api, "DeleteRange", pb.DeleteRangeRequest(key=b"k" * 10_000)) == REQUEST_TOO_LARGE


def test_b2_a_message_beyond_all_limits_is_refused_by_the_transport(api: Remote) -> None:
    refused = outcome(api, "Put", pb.PutRequest(key=b"a", value=b"v" * 600_000))
    assert refused is not None
    assert refused.code == Code.RESOURCE_EXHAUSTED
    assert refused.message.startswith("grpc: received message larger than max (")
    assert refused.message.endswith(f" vs. {10_000 + (512 << 10)})")


def test_b2_the_limit_of_streams_is_announced(server: Brainctl | Etcd) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        connection.sendall(frames.PREFACE + frames.settings({}))
        received = b""
        while len(received) < 9 or len(received) < 9 + int.from_bytes(received[:3]):
            received += connection.recv(1 << 16)
    assert received[3] == frames.SETTINGS
    settings = dict(frames.read_settings(received[9 : 9 + int.from_bytes(received[:3])]))
    assert settings[frames.MAX_CONCURRENT_STREAMS] == 7


@pytest.mark.parametrize("kind", [Brainctl, Etcd])
def test_b1_clients_are_told_where_to_come(kind: type[Brainctl | Etcd], tmp_path: Path) -> None:
    flags = ("--advertise-client-urls", "http://db.example:2379,http://other.example:1", "--name", "one")
    if kind is Etcd:  # which starts with an equal cluster only
        flags = flags[:2]
    with kind(tmp_path, *flags) as started:
        remote = Remote(started.endpoint)
        (member,) = remote.call("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest()).members
        remote.close()
    assert list(member.clientURLs) == ["http://db.example:2379", "http://other.example:1"]
    assert member.name == ("one" if kind is Brainctl else "default")


@pytest.mark.parametrize("program", ["brainctl", "etcd"])
def test_b1_the_variables_of_an_etcd_configure_both(program: str, tmp_path: Path) -> None:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    variables = {
        "ETCD_DATA_DIR": str(tmp_path / "data"),
        "ETCD_LISTEN_CLIENT_URLS": client,
        "ETCD_ADVERTISE_CLIENT_URLS": "http://db.example:2379",
        "ETCD_LISTEN_PEER_URLS": peer,
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer,
        "ETCD_INITIAL_CLUSTER": f"one={peer}",
        "ETCD_NAME": "one",
        "ETCD_QUOTA_BACKEND_BYTES": "123456789",
        "ETCD_MAX_TXN_OPS": "2",
        "ETCD_CLIENT_CERT_AUTH": "false",
    }
    argv = [*brainctl_argv(), "serve"] if program == "brainctl" else [str(require("etcd"))]
    child = Child(argv, tmp_path / "log", clean_environment() | variables)
    remote = Remote(client.removeprefix("http://"))
    try:
        child.wait_until(lambda: etcdctl(client, "get", "-").returncode == 0)
        status = remote.call("/etcdserverpb.Maintenance/Status", pb.StatusRequest())
        assert status.dbSizeQuota == 123_456_789
        (member,) = remote.call("/etcdserverpb.Cluster/MemberList", pb.MemberListRequest()).members
        assert (member.name, list(member.clientURLs)) == ("one", ["http://db.example:2379"])
        assert outcome(remote, "Txn", pb.TxnRequest(success=puts(3))) == TOO_MANY_OPS
        assert outcome(remote, "Txn", pb.TxnRequest(success=puts(2))) is None
    finally:
        remote.close()
        child.stop()
