"""Authorization while authentication is on (etcd server/etcdserver/v3_server.go, apply/auth.go, api/v3rpc).

Every method has a policy; a method without one is refused. Permissions on keys are checked on the request itself: those
of reads and watches against the durable users and roles, those of writes where they are evaluated. So a write is
refused however closely it follows the write that withdrew the permission.
"""

from collections.abc import Callable, Mapping
from functools import partial

from google.protobuf.message import DecodeError, Message

from brainctl.errors import AUTH_OLD_REVISION, PERMISSION_DENIED, USER_EMPTY, ApiError, BrainctlError, Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.etcdpb import verification_pb2 as vpb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.permission import STATE, Identity
from brainctl.mvcc.requests import check_delete, check_put
from brainctl.mvcc.steps import Steps
from brainctl.node.backend import Backend, Evaluate, Reply
from brainctl.node.handler import Handler, refusal
from brainctl.node.options import NodeOptions
from brainctl.node.services.auth import SERVICE, AuthService
from brainctl.node.services.kv.service import KvService
from brainctl.node.services.lease import LeaseService
from brainctl.node.services.maintenance.alarms import AlarmedBackend, AlarmService
from brainctl.node.services.verification import HASH_RANGE

_KV = "/etcdserverpb.KV/"
_LEASE = "/etcdserverpb.Lease/"
_CLUSTER = "/etcdserverpb.Cluster/"
_MAINTENANCE = "/etcdserverpb.Maintenance/"

ROOT_ONLY = frozenset(
    {
        _KV + "Compact",
        *(_CLUSTER + name for name in ("MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote")),
        *(_MAINTENANCE + name for name in ("Defragment", "Hash", "HashKV", "Snapshot", "MoveLeader", "Downgrade")),
    }
)
"""Methods for users with the role root."""
ANY_USER = frozenset({_LEASE + "LeaseGrant", _MAINTENANCE + "Status", _CLUSTER + "MemberList"})
"""Methods for everyone with a valid token or certificate."""
OPEN = frozenset({SERVICE + "Authenticate"})
"""Methods that are served whatever token the caller sends."""
ON_KEYS = frozenset({_KV + "Range", _KV + "Put", _KV + "DeleteRange", _KV + "Txn"})
"""Methods whose permission depends on the keys in the request."""
_REVOKE = _LEASE + "LeaseRevoke"
_KNOWS_LEASES = frozenset(
    {
        _KV + "Put",
        _KV + "Txn",
        _REVOKE,
        *(_LEASE + name for name in ("LeaseTimeToLive", "LeaseLeases", "LeaseKeepAlive")),
    }
)
"""Methods whose checks need to know which keys are attached to leases."""
_REMEMBERED = 1024
"""Number of senders' handlers that are kept; they are only a cache."""

Policy = Callable[[str, bytes, Reply, Identity | None], None]
"""Serves a method, by its path, for a user; raises ApiError, before anything has happened, when it is not permitted."""
# The names of gRPC codes in etcd's texts, in the reasons for which it cancels watches.
_NAMES = {Code.UNAUTHENTICATED: "Unauthenticated", Code.INVALID_ARGUMENT: "InvalidArgument"}


class Authorizer:
    """Serves requests with the rights of those who send them."""

    def __init__(
        self,
        backend: Backend,
        auth: AuthService,
        lease: LeaseService,
        alarms: AlarmService,
        handlers: Mapping[str, Handler],
        options: NodeOptions,
    ) -> None:
        self._backend = backend
        self._auth = auth
        self._lease = lease
        self._alarms = alarms
        self._handlers = handlers
        self._options = options
        self._methods = auth.methods()
        self._of_user: dict[Identity | None, dict[str, Handler]] = {}
        self._policies: dict[str, Policy] = {
            **dict.fromkeys(ROOT_ONLY, self._for_root),
            **dict.fromkeys(ANY_USER, self._for_any_user),
            **dict.fromkeys(ON_KEYS, self._on_keys),
            **dict.fromkeys(self._methods, self._auth_method),
            _REVOKE: self._revoke,
            _LEASE + "LeaseTimeToLive": self._time_to_live,
            _LEASE + "LeaseLeases": self._leases,
            _MAINTENANCE + "Alarm": self._alarm,
            HASH_RANGE: self._hash_range,
        }

    def call(self, method: str, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        """Serve a method that has a handler, or refuse it."""
        if self._lease.lessor.recovering and method in _KNOWS_LEASES:
            self._lease.when_recovered(partial(self.call, method, body, reply, token, common_name))
            return
        try:
            if method in OPEN:
                self._handlers[method](body, reply)
            else:
                who = self._auth.identify(token, common_name)
                self._policies.get(method, _deny)(method, body, reply, who)
        except (DecodeError, ApiError) as error:
            reply(refusal(error))

    # -- streams ------------------------------------------------------------------------------------------------

    def admit(self, method: str, token: str | None, common_name: str | None) -> None:
        """Check that the sender may open a stream that is only for root.

        Raises:
            ApiError: The token is not valid, or the sender is not root.
        """
        assert method in ROOT_ONLY
        if self._auth.enabled:
            self._auth.check(self._auth.identify(token, common_name)).admin()

    def admit_range(self, token: str | None, common_name: str | None, request: pb.RangeRequest) -> None:
        """Check that the sender may read a range.

        Raises:
            ApiError: The token is not valid, or the sender may not read the range.
        """
        if self._auth.enabled:
            who = self._auth.identify(token, common_name)
            self._auth.check(who).read(request.key, request.range_end)

    def keep_alive(self, body: bytes, reply: Reply, token: str | None, common_name: str | None) -> None:
        """Serve one exchange on a LeaseKeepAlive stream, for senders who may write the keys attached to the lease."""
        if self._lease.lessor.recovering:
            self._lease.when_recovered(partial(self.keep_alive, body, reply, token, common_name))
            return
        try:
            lease = pb.LeaseKeepAliveRequest.FromString(body).ID
            who = _known(self._auth.identify(token, common_name))
            self._auth.check(who).lease(self._lease.lessor.attached(lease))
        except (DecodeError, ApiError) as error:
            reply(refusal(error))
        else:
            self._lease.keep_alive(body, reply)

    def watch_refusal(self, token: str | None, common_name: str | None, request: pb.WatchCreateRequest) -> str:
        """Return in etcd's words why a watch is refused; empty when it is permitted.

        The checked range is that of the request as it arrived, before it is interpreted.
        """
        if not self._auth.enabled:
            return ""
        try:
            who = self._auth.identify(token, common_name)
            self._auth.check(who).read(request.key or b"\0", request.range_end)
        except ApiError as error:
            code, text = error.status
            return f"rpc error: code = {_NAMES.get(code, 'PermissionDenied')} desc = {text}"
        return ""

    # -- policies -----------------------------------------------------------------------------------------------

    def _for_root(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve a method of ROOT_ONLY."""
        self._auth.check(who).admin()
        self._handlers[method](body, reply)

    def _for_any_user(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve a method of ANY_USER."""
        _known(who)
        self._handlers[method](body, reply)

    def _auth_method(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        self._methods[method](body, reply, who)

    def _on_keys(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        self._served_as(who)[method](body, reply)

    def _revoke(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        self._served_as(_known(who))[method](body, reply)

    def _time_to_live(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve LeaseTimeToLive: the attached keys only for those who may read all of them."""
        _known(who)
        request = pb.LeaseTimeToLiveRequest.FromString(body)
        if request.keys:
            self._auth.check(who).show(self._lease.lessor.attached(request.ID))
        self._handlers[method](body, reply)

    def _leases(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve LeaseLeases for those who may read all keys that are attached to leases."""
        _known(who)
        check = self._auth.check(who)
        if not check.is_admin:
            for lease in self._lease.lessor.leases():
                check.show(self._lease.lessor.attached(lease.id))
        self._handlers[method](body, reply)

    def _alarm(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve Alarm: everyone known may list alarms, root may change them."""
        if pb.AlarmRequest.FromString(body).action == pb.AlarmRequest.GET:
            self._for_any_user(method, body, reply, who)
        else:
            self._for_root(method, body, reply, who)

    def _hash_range(self, method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
        """Serve HashRange for those who may read the range."""
        request = vpb.HashRangeRequest.FromString(body)
        self._auth.check(who).read(request.key, request.range_end)
        self._handlers[method](body, unless_changed(self._backend, reply))

    def _served_as(self, who: Identity | None) -> dict[str, Handler]:
        """Return the handlers of one sender's requests on keys; they are remembered for up to _REMEMBERED senders."""
        found = self._of_user.get(who)
        if found is None:
            backend = UserBackend(self._backend, self._auth, self._lease, who)
            revoke = partial(self._lease.revoke, check=backend.check_revoke)
            found = self._alarms.guard(
                {**KvService(AlarmedBackend(backend, self._alarms), self._options).handlers(), _REVOKE: revoke}
            )
            if len(self._of_user) >= _REMEMBERED:
                self._of_user.clear()
            self._of_user[who] = found
        return found


class UserBackend:
    """A backend for one sender's requests on keys, which refuses what the sender may not do."""

    def __init__(self, backend: Backend, auth: AuthService, lease: LeaseService, who: Identity | None) -> None:
        self._backend = backend
        self._auth = auth
        self._lease = lease
        self._who = who

    def submit(self, evaluate: Evaluate, request: Message, reply: Reply) -> None:
        """Queue a write, which is checked where it is evaluated."""
        self._backend.submit(partial(self._evaluate, evaluate), request, reply)

    def range(self, request: pb.RangeRequest, reply: Reply) -> None:
        """Answer a range request, if the sender may read the range."""
        try:
            self._auth.check(self._who).read(request.key, request.range_end)
        except ApiError as error:
            reply(error)
        else:
            self._backend.range(request, unless_changed(self._backend, reply))

    def read(self, request: pb.TxnRequest, reply: Reply) -> None:
        """Answer a transaction of reads, if the sender may read all of it."""
        try:
            self._auth.check(self._who).txn(request, self._lease.lessor.attached)
        except ApiError as error:
            reply(error)
        else:
            self._backend.read(request, unless_changed(self._backend, reply))

    def check_revoke(self, batch: Batch, lease: int) -> None:
        """Check that the sender may delete all keys of a lease.

        Raises:
            ApiError: The sender may not write one of the keys.
        """
        self._auth.check_in(batch, self._who).lease(self._attached(batch, lease))

    def _evaluate(self, evaluate: Evaluate, batch: Batch, request: Message) -> bytes | Steps[bytes]:
        """Evaluate a write if the sender may make it, by the users and roles of the batch."""
        # A malformed request is refused as malformed, whoever sends it; transactions were checked before.
        check = self._auth.check_in(batch, self._who)
        attached = partial(self._attached, batch)
        match request:
            case pb.PutRequest():
                check_put(request)
                check.put(request, attached)
            case pb.DeleteRangeRequest():
                check_delete(request)
                check.delete_range(request)
            case pb.TxnRequest():
                check.txn(request, attached)
            case _:
                raise ApiError(PERMISSION_DENIED)
        return evaluate(batch, request)

    def _attached(self, batch: Batch, lease: int) -> set[bytes]:
        return self._lease.lessor.attached(lease) | batch.staged.attached(lease)


def unless_changed(backend: Backend, reply: Reply) -> Reply:
    """Return a reply for a read in slices: it fails with AUTH_OLD_REVISION if users or roles change meanwhile."""
    before = backend.record(STATE)

    def settle(answer: bytes | BrainctlError) -> None:
        reply(answer if backend.record(STATE) == before else ApiError(AUTH_OLD_REVISION))

    return settle


def _known(who: Identity | None) -> Identity:
    """Return the sender.

    Raises:
        ApiError: There is none.
    """
    if who is None:
        raise ApiError(USER_EMPTY)
    return who


def _deny(method: str, body: bytes, reply: Reply, who: Identity | None) -> None:
    """Refuse a method without a policy.

    Raises:
        ApiError: Always.
    """
    del method, body, reply, who
    raise ApiError(PERMISSION_DENIED)
