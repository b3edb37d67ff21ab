"""The meaning of a gRPC status for the caller: an answer of etcd, nobody there, or an unknown outcome.

    call    status                                         error
    any     one of etcd's ("etcdserver: ...")              ApiError
    write   "etcdserver: request timed out" and the like   UnknownOutcome: etcd may still carry it out
    write   connection lost, deadline                      UnknownOutcome
    read    deadline                                       TimedOut
    read    connection lost                                ConnectionFailed

A read that ends with ConnectionFailed may be sent to another endpoint.
"""

import re

from brainctl.errors import ApiError, BrainctlError, Code, ConnectionFailed, Status, TimedOut, UnknownOutcome

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
"""Calls that must not be repeated: a second one would not have the same effect as one."""

_LEFT_OPEN = (
    "etcdserver: request timed out",
    "etcdserver: leader changed",
    "etcdserver: server stopped",
)
"""Answers of etcd after which a proposal may still be carried out."""

_TRANSPORT = frozenset((Code.CANCELLED, Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNAVAILABLE))
"""Codes that gRPC itself gives to a call whose connection failed."""


def is_from_server(code: Code, details: str) -> bool:
    """Return whether etcd itself has answered, rather than the connection to it."""
    return details.startswith(("etcdserver:", "auth:", "etcdclient:")) or code not in _TRANSPORT


_TOO_LARGE = re.compile(r"larger than max(?:imum)? (?:\((\d+) vs\.? (\d+)\))?")


class MessageTooLarge(ApiError):
    """A request or an answer that is larger than a limit; its text names the limit and the flag."""

    def __init__(self, details: str, sentence: str) -> None:
        """Create the error with gRPC's own words, for programs, and a sentence for the user."""
        super().__init__(Status(Code.RESOURCE_EXHAUSTED, details))
        self.args = (sentence,)


def failure(
    method: str, endpoint: str, code: Code, details: str, timeout: float | None, elapsed: float = 0.0
) -> BrainctlError:
    """Return the error for a call that was sent to `endpoint` and failed after `elapsed` seconds, of `timeout`.

    The server keeps to the deadline too, and may be the first to end the call; gRPC reports that in several ways.
    """
    if code is Code.RESOURCE_EXHAUSTED and _TOO_LARGE.search(details):
        return _too_large(method, endpoint, details)
    if is_from_server(code, details):
        if method in WRITES and details.startswith(_LEFT_OPEN):
            return UnknownOutcome(f"the outcome of {_name(method)} is unknown: {details}")
        return ApiError(Status(code, details))
    late = code is Code.DEADLINE_EXCEEDED or (timeout is not None and elapsed >= timeout)
    reason = f"no answer within {timeout:g} s" if late and timeout is not None else _lost(details)
    if method in WRITES:
        return UnknownOutcome(f"the outcome of {_name(method)} is unknown: {endpoint}: {reason}")
    if late:
        return TimedOut(f"{endpoint}: {reason}")
    return ConnectionFailed(f"{endpoint}: {reason}")


def _too_large(method: str, endpoint: str, details: str) -> BrainctlError:
    """Return the error for a message above a limit: which limit, and which flag raises it."""
    found = _TOO_LARGE.search(details)
    size, limit = (found[1], found[2]) if found else (None, None)
    figures = f" ({size} bytes, {limit} are allowed)" if size and limit else ""
    if "CLIENT: Received" in details:
        text = f"{endpoint}: the answer is too large for this client{figures}: ask for less, or raise --max-recv-bytes"
        if method in WRITES:
            return UnknownOutcome(f"the outcome of {_name(method)} is unknown: {text}")
    elif "Sent message" in details or details.startswith("trying to send"):
        text = f"the request is too large for this client{figures}: raise --max-request-bytes, and that of the server"
    else:
        text = f"{endpoint}: the request is too large for the server{figures}: raise its --max-request-bytes"
    return MessageTooLarge(details, text)


def _lost(details: str) -> str:
    """Return in words what gRPC's core says about a connection that broke during a call."""
    if "keepalive" in details or "ping timeout" in details:
        return "the server gives no sign of life: see --keepalive-time and --keepalive-timeout"
    if "too_many_pings" in details:
        return "the server closed the connection because of too many pings: raise --keepalive-time"
    return "the connection was lost before an answer came"


def _name(method: str) -> str:
    return method.rpartition("/")[2]
