"""B5, users, tokens, locks and elections."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from brainctl.errors import (
    AUTH_FAILED,
    AUTH_OLD_REVISION,
    INVALID_AUTH_TOKEN,
    PERMISSION_DENIED,
    ROOT_ROLE_MISSING,
    ROOT_USER_MISSING,
    USER_EMPTY,
)
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import v3election_pb2 as epb
from brainctl.etcdpb import v3lock_pb2 as lpb
from tests.conformance.client import AUTH, ELECTION, KV, LOCK, MAINTENANCE, Client, refused
from tests.conformance.conftest import Own
from tests.peers.servers import Brainctl, Etcd
from tests.support.rbac import READ, READWRITE, WRITE, add_user, admin, enable, grant, token_of


class Guarded:
    """A server with users: root, and one who may read r..s, write w and do both on b."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.root = enable(client)
        for kind, key, end in ((READ, b"r", b"s"), (WRITE, b"w", b""), (READWRITE, b"b", b"")):
            grant(client, "some", kind, key, end, token=self.root)
        add_user(client, "user", "userpw", "some", token=self.root)
        self.user = token_of(client, "user", "userpw")

    def may(self, method: str, request: object, token: str | None = None) -> bool:
        try:
            self.client.call(method, request, token or self.user)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be this
            assert str(error).endswith("etcdserver: permission denied")  # noqa: PT017
            return False
        return True

    def may_read(self, key: bytes, end: bytes = b"") -> bool:
        return self.may(KV + "Range", pb.RangeRequest(key=key, range_end=end))

    def may_write(self, key: bytes, end: bytes = b"") -> bool:
        return self.may(KV + "DeleteRange", pb.DeleteRangeRequest(key=key, range_end=end))


@pytest.fixture(scope="session")
def guarded(kind: type[Brainctl | Etcd], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with kind(tmp_path_factory.mktemp("guarded")) as started:
        client = Client(started)
        yield Guarded(client)
        client.close()


def test_b5_05a_there_must_be_a_root_with_its_role(own: Own) -> None:
    fresh = own()
    assert refused(admin, fresh, "AuthEnable", pb.AuthEnableRequest()) == ROOT_USER_MISSING
    add_user(fresh, "root", "rootpw")
    assert refused(admin, fresh, "AuthEnable", pb.AuthEnableRequest()) == ROOT_ROLE_MISSING
    admin(fresh, "UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
    admin(fresh, "AuthEnable", pb.AuthEnableRequest())
    assert refused(fresh.put, b"a") == USER_EMPTY


def test_b5_05b_a_password_is_worth_a_token(guarded: Guarded) -> None:
    assert refused(lambda: token_of(guarded.client, "user", "guess")) == AUTH_FAILED
    assert refused(lambda: token_of(guarded.client, "nobody", "userpw")) == AUTH_FAILED
    assert re.fullmatch(r"[A-Za-z]{16}\.\d+", guarded.user)


def test_b5_05c_the_token_is_sent_with_each_request(guarded: Guarded) -> None:
    read = pb.RangeRequest(key=b"r")
    assert guarded.client.call(KV + "Range", read, guarded.user).count == 0
    assert refused(guarded.client.call, KV + "Range", read) == USER_EMPTY
    assert refused(guarded.client.call, KV + "Range", read, "LetMeInPleaseNow.7") == INVALID_AUTH_TOKEN


def test_b5_05d_permissions_are_half_open_intervals(guarded: Guarded) -> None:
    assert [guarded.may_read(key) for key in (b"q\xff", b"r", b"rz", b"s")] == [False, True, True, False]
    assert guarded.may_read(b"r1", b"s")
    assert not guarded.may_read(b"r", b"s\0")
    assert not guarded.may_read(b"r", b"\0")
    assert [guarded.may_write(key) for key in (b"w", b"w\0", b"r")] == [True, False, False]


def test_b5_05e_reading_and_writing_are_two_things(guarded: Guarded) -> None:
    assert (guarded.may_read(b"w"), guarded.may_write(b"r")) == (False, False)
    assert (guarded.may_read(b"b"), guarded.may_write(b"b")) == (True, True)
    assert not guarded.may(KV + "Put", pb.PutRequest(key=b"w", prev_kv=True))


FOR_ROOT = {
    KV + "Compact": pb.CompactionRequest(revision=1),
    MAINTENANCE + "Defragment": pb.DefragmentRequest(),
    MAINTENANCE + "Hash": pb.HashRequest(),
    MAINTENANCE + "HashKV": pb.HashKVRequest(),
    MAINTENANCE + "MoveLeader": pb.MoveLeaderRequest(),
    MAINTENANCE + "Downgrade": pb.DowngradeRequest(action=pb.DowngradeRequest.CANCEL),
    MAINTENANCE + "Alarm": pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, alarm=pb.NOSPACE),
}


def test_b5_05f_maintenance_is_for_root(guarded: Guarded) -> None:
    assert [method for method, request in FOR_ROOT.items() if guarded.may(method, request)] == []
    snapshot = (MAINTENANCE + "Snapshot", [pb.SnapshotRequest()], 1, guarded.user)
    assert refused(lambda: guarded.client.stream(*snapshot)) == PERMISSION_DENIED
    assert guarded.may(MAINTENANCE + "HashKV", pb.HashKVRequest(), guarded.root)


def test_b5_05g_status_and_alarms_are_for_every_user(guarded: Guarded) -> None:
    assert guarded.may(MAINTENANCE + "Status", pb.StatusRequest())
    assert guarded.may(MAINTENANCE + "Alarm", pb.AlarmRequest())
    assert refused(guarded.client.call, MAINTENANCE + "Status", pb.StatusRequest()) == USER_EMPTY


def test_b5_05h_whether_there_are_users_is_for_everybody(guarded: Guarded) -> None:
    status = guarded.client.call(AUTH + "AuthStatus", pb.AuthStatusRequest())
    assert status.enabled
    assert status.authRevision > 1


def test_b5_05i_an_unused_token_ends(own: Own) -> None:
    short = own("--auth-token-ttl", "3")
    root = enable(short)
    lease = short.call("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=7), root).ID
    forgotten = token_of(short, "root", "rootpw")
    ask = pb.LeaseTimeToLiveRequest(ID=lease)
    while short.call("/etcdserverpb.Lease/LeaseTimeToLive", ask, root).TTL >= 0:  # which keeps root's token alive
        pass
    read = pb.RangeRequest(key=b"a")
    assert refused(short.call, KV + "Range", read, forgotten) == INVALID_AUTH_TOKEN
    assert short.call(KV + "Range", read, root).count == 0


def jwt_flag(directory: Path) -> str:
    key = rsa.generate_private_key(65537, 2048)
    private, public = directory / "private.pem", directory / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return f"jwt,sign-method=RS256,priv-key={private},pub-key={public},ttl=5m"


def test_b5_05j_a_signed_token_carries_the_revision_of_the_users(own: Own, tmp_path: Path) -> None:
    signed = own("--auth-token", jwt_flag(tmp_path))
    old = enable(signed)
    assert len(old.split(".")) == 3
    grant(signed, "role", READ, b"a", token=old)
    assert refused(signed.call, KV + "Range", pb.RangeRequest(key=b"a"), old) == AUTH_OLD_REVISION
    assert signed.call(KV + "Range", pb.RangeRequest(key=b"a"), token_of(signed, "root", "rootpw")).count == 0


def lock(server: Client, name: bytes, lease: int) -> lpb.LockResponse:
    return server.call(LOCK + "Lock", lpb.LockRequest(name=name, lease=lease))


def test_b5_06a_the_key_of_a_lock_is_its_name_and_the_lease(server: Client, key: bytes) -> None:
    lease = server.grant().ID
    held = lock(server, key + b"lock", lease)
    assert held.key == key + b"lock/%x" % lease
    (kv,) = server.get(held.key).kvs
    assert (kv.lease, kv.value) == (lease, b"")


def test_b5_06b_the_lowest_create_revision_owns_the_lock(server: Client, key: bytes) -> None:
    first, *others = [server.grant().ID for _ in range(3)]
    lock(server, key, first)
    waiting = []
    for lease in others:
        waiting.append(server.start(LOCK + "Lock", lpb.LockRequest(name=key, lease=lease)))
        while not server.get(key + b"/%x" % lease).count:
            pass
    oldest = {"sort_target": pb.RangeRequest.CREATE, "sort_order": pb.RangeRequest.ASCEND, "limit": 1}
    queue = server.get(key + b"/", key + b"0", **oldest)
    assert queue.kvs[0].key == key + b"/%x" % first
    server.revoke(first)
    for lease, pending in zip(others, waiting, strict=True):
        held = pending.next()
        assert held.key == key + b"/%x" % lease
        assert server.keys(held.key) == [held.key]
        server.call(LOCK + "Unlock", lpb.UnlockRequest(key=held.key))


def test_b5_06c_an_election_is_won_observed_and_resigned(server: Client, key: bytes) -> None:
    lease = server.grant().ID
    won = server.call(ELECTION + "Campaign", epb.CampaignRequest(name=key, lease=lease, value=b"me")).leader
    assert (won.name, won.key, won.lease) == (key, key + b"/%x" % lease, lease)
    assert server.call(ELECTION + "Leader", epb.LeaderRequest(name=key)).kv.value == b"me"
    server.call(ELECTION + "Proclaim", epb.ProclaimRequest(leader=won, value=b"still me"))
    (seen,) = server.stream(ELECTION + "Observe", [epb.LeaderRequest(name=key)], 1)
    assert seen.kv.value == b"still me"
    server.call(ELECTION + "Resign", epb.ResignRequest(leader=won))
    gone = refused(server.call, ELECTION + "Leader", epb.LeaderRequest(name=key))
    assert gone[1] == "election: no leader"
