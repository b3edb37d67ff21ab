"""The paths of etcd's JSON gateway, and the RPC behind each.

KV.RangeStream has no path, as in etcd: whoever wants a stream of pages speaks gRPC.
"""

from typing import Final, NamedTuple

from google.protobuf.message import Message

from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import v3election_pb2 as electionpb
from brainctl.etcdpb import v3lock_pb2 as lockpb


class Route(NamedTuple):
    """One RPC."""

    method: str
    """Path of the method in gRPC."""
    request: type[Message]
    response: type[Message]
    many_requests: bool = False
    many_responses: bool = False
    """Answered with lines of {"result": ...} rather than with one object."""


def _routes(service: str, base: str, methods: dict[str, tuple[str, type[Message], type[Message]]]) -> dict[str, Route]:
    return {
        f"/v3/{base}/{path}": Route(f"/{service}/{name}", request, response)
        for path, (name, request, response) in methods.items()
    }


_KV: Final = _routes(
    "etcdserverpb.KV",
    "kv",
    {
        "range": ("Range", pb.RangeRequest, pb.RangeResponse),
        "put": ("Put", pb.PutRequest, pb.PutResponse),
        "deleterange": ("DeleteRange", pb.DeleteRangeRequest, pb.DeleteRangeResponse),
        "txn": ("Txn", pb.TxnRequest, pb.TxnResponse),
        "compaction": ("Compact", pb.CompactionRequest, pb.CompactionResponse),
    },
)
_LEASE_METHODS: Final[dict[str, tuple[str, type[Message], type[Message]]]] = {
    "revoke": ("LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse),
    "timetolive": ("LeaseTimeToLive", pb.LeaseTimeToLiveRequest, pb.LeaseTimeToLiveResponse),
    "leases": ("LeaseLeases", pb.LeaseLeasesRequest, pb.LeaseLeasesResponse),
}
_LEASE: Final = {
    **_routes(
        "etcdserverpb.Lease",
        "lease",
        {"grant": ("LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse), **_LEASE_METHODS},
    ),
    **_routes("etcdserverpb.Lease", "kv/lease", _LEASE_METHODS),  # where they were in older releases
}
_CLUSTER: Final = _routes(
    "etcdserverpb.Cluster",
    "cluster/member",
    {
        "add": ("MemberAdd", pb.MemberAddRequest, pb.MemberAddResponse),
        "remove": ("MemberRemove", pb.MemberRemoveRequest, pb.MemberRemoveResponse),
        "update": ("MemberUpdate", pb.MemberUpdateRequest, pb.MemberUpdateResponse),
        "list": ("MemberList", pb.MemberListRequest, pb.MemberListResponse),
        "promote": ("MemberPromote", pb.MemberPromoteRequest, pb.MemberPromoteResponse),
    },
)
_MAINTENANCE: Final = _routes(
    "etcdserverpb.Maintenance",
    "maintenance",
    {
        "alarm": ("Alarm", pb.AlarmRequest, pb.AlarmResponse),
        "status": ("Status", pb.StatusRequest, pb.StatusResponse),
        "defragment": ("Defragment", pb.DefragmentRequest, pb.DefragmentResponse),
        "hash": ("Hash", pb.HashRequest, pb.HashResponse),
        "hashkv": ("HashKV", pb.HashKVRequest, pb.HashKVResponse),
        "transfer-leadership": ("MoveLeader", pb.MoveLeaderRequest, pb.MoveLeaderResponse),
        "downgrade": ("Downgrade", pb.DowngradeRequest, pb.DowngradeResponse),
    },
)
_AUTH: Final = _routes(
    "etcdserverpb.Auth",
    "auth",
    {
        "enable": ("AuthEnable", pb.AuthEnableRequest, pb.AuthEnableResponse),
        "disable": ("AuthDisable", pb.AuthDisableRequest, pb.AuthDisableResponse),
        "status": ("AuthStatus", pb.AuthStatusRequest, pb.AuthStatusResponse),
        "authenticate": ("Authenticate", pb.AuthenticateRequest, pb.AuthenticateResponse),
        "user/add": ("UserAdd", pb.AuthUserAddRequest, pb.AuthUserAddResponse),
        "user/get": ("UserGet", pb.AuthUserGetRequest, pb.AuthUserGetResponse),
        "user/list": ("UserList", pb.AuthUserListRequest, pb.AuthUserListResponse),
        "user/delete": ("UserDelete", pb.AuthUserDeleteRequest, pb.AuthUserDeleteResponse),
        "user/changepw": (
            "UserChangePassword",
            pb.AuthUserChangePasswordRequest,
            pb.AuthUserChangePasswordResponse,
        ),
        "user/grant": ("UserGrantRole", pb.AuthUserGrantRoleRequest, pb.AuthUserGrantRoleResponse),
        "user/revoke": ("UserRevokeRole", pb.AuthUserRevokeRoleRequest, pb.AuthUserRevokeRoleResponse),
        "role/add": ("RoleAdd", pb.AuthRoleAddRequest, pb.AuthRoleAddResponse),
        "role/get": ("RoleGet", pb.AuthRoleGetRequest, pb.AuthRoleGetResponse),
        "role/list": ("RoleList", pb.AuthRoleListRequest, pb.AuthRoleListResponse),
        "role/delete": ("RoleDelete", pb.AuthRoleDeleteRequest, pb.AuthRoleDeleteResponse),
        "role/grant": (
            "RoleGrantPermission",
            pb.AuthRoleGrantPermissionRequest,
            pb.AuthRoleGrantPermissionResponse,
        ),
        "role/revoke": (
            "RoleRevokePermission",
            pb.AuthRoleRevokePermissionRequest,
            pb.AuthRoleRevokePermissionResponse,
        ),
    },
)
_LOCK: Final = _routes(
    "v3lockpb.Lock",
    "lock",
    {
        "lock": ("Lock", lockpb.LockRequest, lockpb.LockResponse),
        "unlock": ("Unlock", lockpb.UnlockRequest, lockpb.UnlockResponse),
    },
)
_ELECTION: Final = _routes(
    "v3electionpb.Election",
    "election",
    {
        "campaign": ("Campaign", electionpb.CampaignRequest, electionpb.CampaignResponse),
        "proclaim": ("Proclaim", electionpb.ProclaimRequest, electionpb.ProclaimResponse),
        "leader": ("Leader", electionpb.LeaderRequest, electionpb.LeaderResponse),
        "resign": ("Resign", electionpb.ResignRequest, electionpb.ResignResponse),
    },
)
_STREAMS: Final = {
    "/v3/watch": Route("/etcdserverpb.Watch/Watch", pb.WatchRequest, pb.WatchResponse, True, True),
    "/v3/lease/keepalive": Route(
        "/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse, True, True
    ),
    "/v3/maintenance/snapshot": Route(
        "/etcdserverpb.Maintenance/Snapshot", pb.SnapshotRequest, pb.SnapshotResponse, False, True
    ),
    "/v3/election/observe": Route(
        "/v3electionpb.Election/Observe", electionpb.LeaderRequest, electionpb.LeaderResponse, False, True
    ),
}

ROUTES: Final[dict[str, Route]] = {
    **_KV,
    **_LEASE,
    **_CLUSTER,
    **_MAINTENANCE,
    **_AUTH,
    **_LOCK,
    **_ELECTION,
    **_STREAMS,
}
"""Entries by path."""
