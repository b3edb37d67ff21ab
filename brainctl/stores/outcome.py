"""What a gRPC status means for the one who asked: an answer of etcd, nobody there, or nobody knows."""

from brainctl.errors import (
    ApiError,
    BrainctlError,
    Code,
    ConnectionFailed,
    Status,
    TimedOut,
    UnknownOutcome,
)

WRITES = frozenset(
    (
        "/etcdserverpb.KV/Put",
        "/etcdserverpb.KV/DeleteRange",
        "/etcdserverpb.KV/Txn",
        "/etcdserverpb.Lease/LeaseGrant",
        "/etcdserverpb.Lease/LeaseRevoke",
        "/etcdserverpb.Auth/RoleAdd",
        "/etcdserverpb.Auth/RoleDelete",
        "/etcdserverpb.Auth/RoleRevokePermission",
        "/etcdserverpb.Auth/UserAdd",
        "/etcdserverpb.Auth/UserDelete",
        "/etcdserverpb.Auth/UserRevokeRole",
        "/etcdserverpb.Cluster/MemberAdd",
        "/etcdserverpb.Cluster/MemberPromote",
        "/etcdserverpb.Cluster/MemberRemove",
        "/etcdserverpb.Maintenance/Downgrade",
        "/etcdserverpb.Maintenance/MoveLeader",
    )
)
"""Calls whose repetition is not the same as one call."""

_LEFT_OPEN = (
    "etcdserver: request timed out",
    "etcdserver: leader changed",
    "etcdserver: server stopped",
)
"""Answers of etcd after which a proposal may still be carried out."""

_TRANSPORT = frozenset((Code.CANCELLED, Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNAVAILABLE))


def is_from_server(code: Code, details: str) -> bool:
    """Whether etcd itself has answered, rather than the connection to it."""
    return details.startswith(("etcdserver:", "auth:", "etcdclient:")) or code not in _TRANSPORT


def failure(method: str, endpoint: str, code: Code, details: str, timeout: float | None) -> BrainctlError:
    """The error for a call that had been sent to `endpoint`."""
    if is_from_server(code, details):
        if method in WRITES and details.startswith(_LEFT_OPEN):
            return UnknownOutcome(f"the outcome of {_name(method)} is unknown: {details}")
        return ApiError(Status(code, details))
    late = code is Code.DEADLINE_EXCEEDED
    reason = f"no answer within {timeout:g} s" if late and timeout is not None else details
    if method in WRITES:
        return UnknownOutcome(f"the outcome of {_name(method)} is unknown: {endpoint}: {reason}")
    if late:
        return TimedOut(f"{endpoint}: {reason}")
    return ConnectionFailed(f"{endpoint}: {reason}")


def _name(method: str) -> str:
    return method.rpartition("/")[2]
