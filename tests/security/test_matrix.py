"""Every RPC with every kind of credential, against a table; an RPC without a row fails (CVE-2026-33413).

The user of the tests may read r/* and write w/*. The table says what each request meets; `passed` is any answer that
comes from behind the checks, be it an error.
"""

from typing import Any, NamedTuple

import pytest
from google.protobuf.message import Message

from brainctl.errors import Code
from brainctl.etcdpb import auth_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import v3election_pb2 as epb
from brainctl.etcdpb import v3lock_pb2 as lpb
from tests.support.rbac import AUTH, KV, LEASE, READ, WRITE, add_user, admin, enable, grant, token_of
from tests.support.rpc import METHODS, Api, Refused

PASSED, EMPTY, INVALID, DENIED = "passed", "user name is empty", "invalid auth token", "permission denied"
ENDED = "the stream ends with OK and nothing else"
MISSING = "there is no such method"
CREDENTIALS = ("none", "bad", "ended", "user", "root")
SECRET_LEASE, OWN_LEASE, NO_LEASE = 77, 78, 79


class Row(NamedTuple):
    """A request, and what it meets with no token, one that is not good, that of the user, that of root."""

    request: Message
    none: str
    bad: str
    user: str
    root: str = PASSED

    def expected(self, credential: str) -> str:
        return {"none": self.none, "bad": self.bad, "ended": self.bad, "user": self.user, "root": self.root}[credential]


def checked(request: Message, user: str) -> Row:
    """Needs a token; the user meets `user`."""
    return Row(request, EMPTY, INVALID, user)


def for_root(request: Message) -> Row:
    return checked(request, DENIED)


def txn(*operations: pb.RequestOp) -> pb.TxnRequest:
    return pb.TxnRequest(success=operations)


CLUSTER = "/etcdserverpb.Cluster/"
MAINTENANCE = "/etcdserverpb.Maintenance/"
LOCK = "/v3lockpb.Lock/"
ELECTION = "/v3electionpb.Election/"
SECRET = pb.RangeRequest(key=b"secret")
LEADER = epb.LeaderKey(name=b"secret", key=b"secret/1", rev=1, lease=1)
TABLE: dict[str, Row] = {
    KV + "Range": checked(SECRET, DENIED),
    KV + "RangeStream": checked(SECRET, DENIED),
    KV + "Put": checked(pb.PutRequest(key=b"secret"), DENIED),
    KV + "DeleteRange": checked(pb.DeleteRangeRequest(key=b"secret2"), DENIED),
    KV + "Txn": checked(txn(pb.RequestOp(request_range=SECRET)), DENIED),
    KV + "Compact": for_root(pb.CompactionRequest(revision=10_000)),
    "/etcdserverpb.Watch/Watch": checked(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"secret")), DENIED),
    LEASE + "LeaseGrant": checked(pb.LeaseGrantRequest(TTL=100), PASSED),
    LEASE + "LeaseRevoke": checked(pb.LeaseRevokeRequest(ID=NO_LEASE), PASSED),
    LEASE + "LeaseKeepAlive": checked(pb.LeaseKeepAliveRequest(ID=SECRET_LEASE), DENIED),
    LEASE + "LeaseTimeToLive": checked(pb.LeaseTimeToLiveRequest(ID=SECRET_LEASE, keys=True), DENIED),
    LEASE + "LeaseLeases": checked(pb.LeaseLeasesRequest(), DENIED),
    CLUSTER + "MemberAdd": for_root(pb.MemberAddRequest(peerURLs=["http://127.0.0.1:1"], isLearner=True)),
    CLUSTER + "MemberRemove": for_root(pb.MemberRemoveRequest(ID=1)),
    CLUSTER + "MemberUpdate": for_root(pb.MemberUpdateRequest(ID=1, peerURLs=["http://127.0.0.1:1"])),
    CLUSTER + "MemberPromote": for_root(pb.MemberPromoteRequest(ID=1)),
    CLUSTER + "MemberList": checked(pb.MemberListRequest(), PASSED),
    MAINTENANCE + "Alarm": checked(pb.AlarmRequest(action=pb.AlarmRequest.GET), PASSED),
    MAINTENANCE + "Status": checked(pb.StatusRequest(), PASSED),
    MAINTENANCE + "Defragment": for_root(pb.DefragmentRequest()),
    MAINTENANCE + "Hash": for_root(pb.HashRequest()),
    MAINTENANCE + "HashKV": for_root(pb.HashKVRequest()),
    MAINTENANCE + "Snapshot": for_root(pb.SnapshotRequest()),
    MAINTENANCE + "MoveLeader": for_root(pb.MoveLeaderRequest(targetID=1)),
    MAINTENANCE + "Downgrade": for_root(pb.DowngradeRequest(action=pb.DowngradeRequest.CANCEL)),
    AUTH + "AuthEnable": for_root(pb.AuthEnableRequest()),
    AUTH + "AuthDisable": for_root(pb.AuthDisableRequest()),
    AUTH + "AuthStatus": Row(pb.AuthStatusRequest(), PASSED, INVALID, PASSED),
    AUTH + "Authenticate": Row(pb.AuthenticateRequest(name="user", password="userpw"), PASSED, PASSED, PASSED),
    AUTH + "UserAdd": for_root(pb.AuthUserAddRequest(name="user", password="other")),
    AUTH + "UserGet": checked(pb.AuthUserGetRequest(name="root"), DENIED),
    AUTH + "UserList": for_root(pb.AuthUserListRequest()),
    AUTH + "UserDelete": for_root(pb.AuthUserDeleteRequest(name="nobody")),
    AUTH + "UserChangePassword": for_root(pb.AuthUserChangePasswordRequest(name="nobody", password="other")),
    AUTH + "UserGrantRole": for_root(pb.AuthUserGrantRoleRequest(user="user", role="nothing")),
    AUTH + "UserRevokeRole": for_root(pb.AuthUserRevokeRoleRequest(name="user", role="nothing")),
    AUTH + "RoleAdd": for_root(pb.AuthRoleAddRequest(name="role")),
    AUTH + "RoleGet": checked(pb.AuthRoleGetRequest(role="other"), DENIED),
    AUTH + "RoleList": for_root(pb.AuthRoleListRequest()),
    AUTH + "RoleDelete": for_root(pb.AuthRoleDeleteRequest(role="nothing")),
    AUTH + "RoleGrantPermission": for_root(
        pb.AuthRoleGrantPermissionRequest(name="nothing", perm=auth_pb2.Permission(key=b"a"))
    ),
    AUTH + "RoleRevokePermission": for_root(pb.AuthRoleRevokePermissionRequest(role="role", key=b"nothing")),
    LOCK + "Lock": checked(lpb.LockRequest(name=b"secret-lock", lease=OWN_LEASE), DENIED),
    LOCK + "Unlock": checked(lpb.UnlockRequest(key=b"secret/1"), DENIED),
    ELECTION + "Campaign": checked(epb.CampaignRequest(name=b"secret", lease=OWN_LEASE), DENIED),
    ELECTION + "Proclaim": checked(epb.ProclaimRequest(leader=LEADER), DENIED),
    ELECTION + "Leader": checked(epb.LeaderRequest(name=b"secret"), DENIED),
    ELECTION + "Observe": Row(epb.LeaderRequest(name=b"led"), ENDED, ENDED, ENDED),
    ELECTION + "Resign": checked(epb.ResignRequest(leader=LEADER), DENIED),
}
ALSO: list[tuple[str, Row]] = [
    (KV + "Range", checked(pb.RangeRequest(key=b"r/1"), PASSED)),
    (KV + "Range", checked(pb.RangeRequest(key=b"w/1"), DENIED)),
    (KV + "Range", checked(pb.RangeRequest(key=b"r/", range_end=b"r0"), PASSED)),
    (KV + "Range", checked(pb.RangeRequest(key=b"r/", range_end=b"\0"), DENIED)),
    (KV + "Put", checked(pb.PutRequest(key=b"w/1"), PASSED)),
    (KV + "Put", checked(pb.PutRequest(key=b"r/1"), DENIED)),
    (KV + "Put", checked(pb.PutRequest(key=b"w/1", prev_kv=True), DENIED)),
    (KV + "Put", checked(pb.PutRequest(key=b"w/1", lease=SECRET_LEASE), DENIED)),
    (KV + "Put", checked(pb.PutRequest(key=b"w/1", lease=OWN_LEASE), PASSED)),
    (KV + "DeleteRange", checked(pb.DeleteRangeRequest(key=b"w/", range_end=b"w0"), PASSED)),
    (KV + "DeleteRange", checked(pb.DeleteRangeRequest(key=b"w/", range_end=b"\0"), DENIED)),
    (KV + "DeleteRange", checked(pb.DeleteRangeRequest(key=b"w/1", prev_kv=True), DENIED)),
    (KV + "Txn", Row(pb.TxnRequest(), PASSED, INVALID, PASSED)),
    (KV + "Txn", checked(pb.TxnRequest(compare=[pb.Compare(key=b"secret")]), DENIED)),
    (KV + "Txn", checked(txn(pb.RequestOp(request_put=pb.PutRequest(key=b"w/1"))), PASSED)),
    (LEASE + "LeaseKeepAlive", checked(pb.LeaseKeepAliveRequest(ID=OWN_LEASE), PASSED)),
    (LEASE + "LeaseTimeToLive", checked(pb.LeaseTimeToLiveRequest(ID=SECRET_LEASE), PASSED)),
    (MAINTENANCE + "Alarm", for_root(pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, alarm=pb.NOSPACE))),
    (AUTH + "UserGet", checked(pb.AuthUserGetRequest(name="user"), PASSED)),
    (AUTH + "RoleGet", checked(pb.AuthRoleGetRequest(role="role"), PASSED)),
]


def scene(api: Api) -> dict[str, str | None]:
    """Users, keys and leases; the tokens of each kind of credential."""
    root = enable(api)
    grant(api, "role", READ, b"r/", b"r0", token=root)
    grant(api, "role", WRITE, b"w/", b"w0", token=root)
    grant(api, "other", READ, b"o", token=root)
    add_user(api, "user", "userpw", "role", token=root)
    add_user(api, "former", "old", "root", token=root)
    ended = token_of(api, "former", "old")
    admin(api, "UserChangePassword", pb.AuthUserChangePasswordRequest(name="former", password="new"), root)
    for lease in (SECRET_LEASE, OWN_LEASE):
        api.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=10_000), root)
    api.call(KV + "Put", pb.PutRequest(key=b"secret", value=b"hidden", lease=SECRET_LEASE), root)
    api.call(KV + "Put", pb.PutRequest(key=b"led/1"), root)
    user = token_of(api, "user", "userpw")
    return {"none": None, "bad": "LetMeInPleaseNow.7", "ended": ended, "user": user, "root": root}


def meets(api: Api, path: str, request: Message, token: str | None) -> str:
    """What a request meets: the text of the check that refuses it, or PASSED."""
    try:
        if METHODS[path].client_streaming or METHODS[path].server_streaming:
            answers = api.stream(path, [request], 1, token)
            if not answers:
                return ENDED
            answer = answers[0]
        else:
            answer = api.call(path, request, token)
    except Refused as refused:
        if refused.code is Code.UNIMPLEMENTED and "unknown" in refused.text:
            return MISSING
        text = refused.text
    else:
        text = getattr(answer, "cancel_reason", "")
    return next((known for known in (EMPTY, INVALID, DENIED) if text.endswith(known)), PASSED)


def test_every_method_has_a_row() -> None:
    assert set(TABLE) == set(METHODS)


@pytest.fixture(scope="module")
def tokens(api: Api) -> dict[str, Any]:
    return scene(api)


def test_every_method_meets_what_the_table_says(api: Api, tokens: dict[str, str | None]) -> None:
    wrong = []
    rows = [*TABLE.items(), *ALSO]
    for credential in CREDENTIALS:
        for path, row in rows:
            if credential == "root" and path == AUTH + "AuthDisable":
                continue
            met = meets(api, path, row.request, tokens[credential])
            if met != row.expected(credential):
                wrong.append((path, credential, str(row.request), met, row.expected(credential)))
    assert not wrong
