"""Pass on to the leader what only the leader can do, with the identity of the caller.

Every instance reads and watches by itself. Writes, leases, compactions, alarms and users are the leader's. The caller
is identified by its own token, which all instances know; for a caller with a certificate, or this process itself, the
instance issues one. A forwarded call is marked, so that it is not forwarded again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from google.protobuf.message import DecodeError

from brainctl.errors import (
    CONNECTION_LOST,
    LEADER_CHANGED,
    NOT_LEADER,
    TIMEOUT,
    ApiError,
    BrainctlError,
    ConnectionFailed,
    UnknownOutcome,
)
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.backend import Reply
from brainctl.node.membership import Membership
from brainctl.node.services.kv.service import is_readonly

REQUEST_SECONDS: Final = 7.0
"""Seconds after which a request that found no leader is answered with a time-out, as in etcd."""
LOOK_SECONDS: Final = 0.05
"""Seconds between two looks for a leader."""
MARK: Final = "forwarded:"
"""The beginning of the token of a forwarded call; the caller's own token follows."""
KEEP_ALIVE: Final = "/etcdserverpb.Lease/LeaseKeepAlive"
_AUTH: Final = "/etcdserverpb.Auth/"
REPEATED: Final = frozenset(
    {
        KEEP_ALIVE,
        "/etcdserverpb.Lease/LeaseTimeToLive",
        "/etcdserverpb.Lease/LeaseLeases",
        *(_AUTH + name for name in ("AuthStatus", "Authenticate", "UserGet", "UserList", "RoleGet", "RoleList")),
    }
)
"""Forwarded methods that change nothing, and may be sent again when their answer was lost."""
FORWARDED: Final = REPEATED | {
    *("/etcdserverpb.KV/" + name for name in ("Put", "DeleteRange", "Compact")),
    *("/etcdserverpb.Lease/" + name for name in ("LeaseGrant", "LeaseRevoke")),
    *("/etcdserverpb.Maintenance/" + name for name in ("Alarm", "Downgrade")),
    "/etcdserverpb.Cluster/MemberUpdate",
    *(_AUTH + name for name in ("AuthEnable", "AuthDisable", "UserAdd", "UserDelete", "UserChangePassword")),
    *(_AUTH + name for name in ("UserGrantRole", "UserRevokeRole", "RoleAdd", "RoleDelete")),
    *(_AUTH + name for name in ("RoleGrantPermission", "RoleRevokePermission")),
}
"""Methods that only the leader serves; a KV.Txn is forwarded too when it writes."""
TXN: Final = "/etcdserverpb.KV/Txn"


class Peers(Protocol):
    """Calls of other instances."""

    async def call(self, url: str, method: str, body: bytes, token: str, seconds: float) -> bytes:
        """Send a request to the instance at a URL, and return its answer.

        Args:
            url: where it serves clients.
            method: the path of the RPC. Of the stream LeaseKeepAlive one exchange is made.
            body: the marshalled request.
            token: what goes into the metadata `token`.
            seconds: how long to wait for the answer.

        Raises:
            ApiError: the instance answered so.
            ConnectionFailed: nothing was sent.
            UnknownOutcome: the connection, or the time, ended before the answer came.
        """


class Cluster(NamedTuple):
    """Requirements of a node that is one of several."""

    membership: Membership
    leads: Callable[[], bool]
    """Returns whether this instance leads, as far as it knows."""
    follow: Callable[[], Awaitable[None]]
    """Shows all that the leader has acknowledged until now; raises BrainctlError when that cannot be read."""
    peers: Peers
    sign: Callable[[str, int], str]
    """Returns a token for a user at an auth revision that all instances accept (`Tokens.assign`)."""


def is_for_leader(method: str, body: bytes) -> bool:
    """Return whether only the leader serves a request."""
    if method != TXN:
        return method in FORWARDED
    try:
        return not is_readonly(pb.TxnRequest.FromString(body))
    except DecodeError:
        return False


def received(token: str) -> tuple[str | None, bool]:
    """Return the caller's own token of a call, None without one, and whether the call was forwarded."""
    if token.startswith(MARK):
        return token[len(MARK) :] or None, True
    return token, False


class Forwarding:
    """Forwards calls of one node."""

    def __init__(self, cluster: Cluster) -> None:
        self.leads = cluster.leads
        self._cluster = cluster

    @property
    def has_leader(self) -> bool:
        """Return whether somebody leads, as far as this instance knows."""
        return self.leads() or self._cluster.membership.leader != 0

    async def forward(self, method: str, body: bytes, reply: Reply, token: str, here: Callable[[Reply], None]) -> None:
        """Have a request answered by the leader; by this instance, with `here`, if that becomes the leader.

        While there is no leader, or none that can be reached, this waits. The answer is a time-out after
        REQUEST_SECONDS, when nothing was sent; UnknownOutcome when a change was sent and its answer was lost.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + REQUEST_SECONDS
        while loop.time() < deadline:
            if self.leads():
                here(reply)
                return
            answer = await self._attempt(method, body, token, deadline - loop.time())
            if answer is not None:
                if method not in REPEATED:
                    # As in etcd, where it is applied here first: the client's next watch or progress is not older.
                    with suppress(BrainctlError):
                        await self._cluster.follow()
                reply(answer)
                return
            await asyncio.sleep(LOOK_SECONDS)
        reply(ApiError(TIMEOUT))

    async def _attempt(self, method: str, body: bytes, token: str, seconds: float) -> bytes | BrainctlError | None:
        """Return the leader's answer; None when the request may be sent again, since nothing came of it."""
        urls = self._cluster.membership.leader_urls()
        if not urls:
            return None
        try:
            return await self._cluster.peers.call(urls[0], method, body, MARK + token, seconds)
        except ConnectionFailed:
            return None
        except UnknownOutcome:
            return None if method in REPEATED else UnknownOutcome(CONNECTION_LOST.message)
        except ApiError as error:
            return None if error.status in (NOT_LEADER, LEADER_CHANGED) else error

    def sign(self, user: str, revision: int) -> str:
        """Return a token for a user that this instance has authenticated."""
        return self._cluster.sign(user, revision)
