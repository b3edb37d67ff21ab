r"""Permissions: sets of half-open byte ranges, and their check on every kind of request.

Everything here asks the small records of a store, through a function, so that it can ask the durable state as well as a
batch that is being filled. A request is refused with the error that etcd gives
(etcd server/auth/store.go, server/etcdserver/apply/auth.go), and in the same order of checks.

A range is normalised in one place, `ranges.bounds`, before it is checked: b"\0" as the end of a range means that it
has none. Code that normalises after the check would check the one key and hand out everything after it.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple

from brainctl.errors import AUTH_OLD_REVISION, PERMISSION_DENIED, USER_EMPTY, USER_NOT_FOUND, ApiError
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.ranges import bounds

Records = Callable[[bytes], bytes | None]
"""Returns a small record by its name; None when it does not exist."""
Attached = Callable[[int], Iterable[bytes]]
"""Returns at least the keys that are attached to a lease."""

AUTH = b"auth/"
"""Names of all records of authentication start with this."""
STATE = b"auth/state"
"""The record that says whether authentication is on (a byte) and the auth revision (8 bytes, big endian)."""
USERS = b"auth/user/"
"""Names of user records start with this; they hold the marshalled authpb.User."""
ROLES = b"auth/role/"
"""Names of role records start with this; they hold the marshalled authpb.Role."""
ROOT = "root"
"""The user that must exist while authentication is on, and the role that may do everything."""


class Identity(NamedTuple):
    """Sender of a request, and the auth revision at which that was established."""

    user: str
    revision: int


class AuthState(NamedTuple):
    """Whether authentication is on, and the auth revision, which every change of users and roles increments."""

    enabled: bool = False
    revision: int = 1

    def encode(self) -> bytes:
        """Return the value of the record `STATE`."""
        return bytes([self.enabled]) + self.revision.to_bytes(8)


def auth_state(records: Records) -> AuthState:
    """Return the state of authentication in a store; one without the record is off and at revision 1, as in etcd."""
    record = records(STATE)
    return AuthState(bool(record[0]), int.from_bytes(record[1:])) if record else AuthState()


def user_record(name: str) -> bytes:
    """Return the name of a user's record."""
    return USERS + name.encode()


def role_record(name: str) -> bytes:
    """Return the name of a role's record."""
    return ROLES + name.encode()


class Intervals:
    """A set of keys: disjoint half-open ranges in order; ranges that overlap or touch are joined."""

    def __init__(self, ranges: Iterable[tuple[bytes, bytes | None]]) -> None:
        self._starts: list[bytes] = []
        self._ends: list[bytes | None] = []
        for start, end in sorted(ranges, key=lambda one: one[0]):
            last = self._ends[-1] if self._ends else b""
            if not self._starts or (last is not None and last < start):
                self._starts.append(start)
                self._ends.append(end)
            elif last is not None and (end is None or last < end):
                self._ends[-1] = end

    def cover(self, start: bytes, end: bytes | None) -> bool:
        """Return whether every key from `start` to `end` is in the set; an end of None has no bound.

        Of a range that ends before it starts, which holds no key, the start must be in the set.
        """
        at = bisect_right(self._starts, start) - 1
        if at < 0:
            return False
        last = self._ends[at]
        return last is None or (end is not None and start < last and end <= last)


class Rights:
    """Permissions of one user, from all roles of the user."""

    def __init__(self, user: authpb.User, roles: Iterable[authpb.Role]) -> None:
        self.root = ROOT in user.roles
        granted = [permission for role in roles for permission in role.keyPermission]
        self.read = _keys(granted, authpb.Permission.READ)
        self.write = _keys(granted, authpb.Permission.WRITE)


def _keys(granted: Iterable[authpb.Permission], kind: authpb.Permission.Type) -> Intervals:
    kinds = (kind, authpb.Permission.READWRITE)
    return Intervals(bounds(one.key, one.range_end) for one in granted if one.permType in kinds)


class Check:
    """The checks of one request, against the users and roles that the request is evaluated with."""

    def __init__(self, state: AuthState, identity: Identity | None, rights: Rights | None) -> None:
        self._state = state
        self._identity = identity
        self._rights = rights

    @property
    def is_admin(self) -> bool:
        """Return whether everything is allowed."""
        return not self._state.enabled or (self._rights is not None and self._rights.root)

    def admin(self) -> None:
        """Refuse all but users with the root role.

        Raises:
            ApiError: There is no identity, its user does not exist any more, or it lacks the role.
        """
        if not self._state.enabled:
            return
        if self._identity is None or not self._identity.user:
            raise ApiError(USER_EMPTY)
        if self._rights is None:
            raise ApiError(USER_NOT_FOUND)
        if not self._rights.root:
            raise ApiError(PERMISSION_DENIED)

    def read(self, key: bytes, range_end: bytes = b"") -> None:
        """Refuse to show a range, given as it stands in a request.

        Raises:
            ApiError: The identity is missing or outdated, or may not read all of the range.
        """
        rights = self._current()
        if rights is not None and not rights.read.cover(*bounds(key, range_end)):
            raise ApiError(PERMISSION_DENIED)

    def write(self, key: bytes, range_end: bytes = b"") -> None:
        """Refuse to change a range, given as it stands in a request.

        Raises:
            ApiError: The identity is missing or outdated, or may not write all of the range.
        """
        rights = self._current()
        if rights is not None and not rights.write.cover(*bounds(key, range_end)):
            raise ApiError(PERMISSION_DENIED)

    def _current(self) -> Rights | None:
        """Return the rights that limit the request; None when nothing does.

        Raises:
            ApiError: The request has no identity, its identity is older than the last change of users and roles, or its
                user
                does not exist.
        """
        if not self._state.enabled:
            return None
        if self._identity is None or not self._identity.revision:
            raise ApiError(USER_EMPTY)
        if self._identity.revision < self._state.revision:
            raise ApiError(AUTH_OLD_REVISION)
        if self._rights is None:
            raise ApiError(PERMISSION_DENIED)
        return None if self._rights.root else self._rights

    # -- requests -----------------------------------------------------------------------------------------------

    def put(self, request: pb.PutRequest, attached: Attached) -> None:
        """Refuse a put of a key that may not be written, or on a lease whose end would delete such a key.

        A put that returns the previous value reads the key, too.
        """
        self.write(request.key)
        if request.lease:
            self.lease(attached(request.lease))
        if request.prev_kv:
            self.read(request.key)

    def delete_range(self, request: pb.DeleteRangeRequest) -> None:
        """Refuse a delete of a range that may not be written; one that returns the deleted versions reads it, too."""
        self.write(request.key, request.range_end)
        if request.prev_kv:
            self.read(request.key, request.range_end)

    def txn(self, request: pb.TxnRequest, attached: Attached) -> None:
        """Refuse a transaction of which any part is refused: in either branch, at every depth. A comparison is a read.

        Which branch would run does not matter, else the refusal itself would reveal what the compared keys hold.
        """
        for compare in request.compare:
            self.read(compare.key, compare.range_end)
        for operations in (request.success, request.failure):
            for operation in operations:
                self._operation(operation, attached)

    def _operation(self, operation: pb.RequestOp, attached: Attached) -> None:
        """Refuse one operation of a transaction."""
        match operation.WhichOneof("request"):
            case "request_range":
                self.read(operation.request_range.key, operation.request_range.range_end)
            case "request_put":
                self.put(operation.request_put, attached)
            case "request_delete_range":
                self.delete_range(operation.request_delete_range)
            case "request_txn":
                self.txn(operation.request_txn, attached)
            case _:  # an operation that names nothing was refused before
                raise ApiError(PERMISSION_DENIED)

    def lease(self, keys: Iterable[bytes]) -> None:
        """Refuse a decision over a lease whose end deletes `keys`, unless all of them may be written."""
        if not self.is_admin:
            for key in keys:
                self.write(key)

    def show(self, keys: Iterable[bytes]) -> None:
        """Refuse to name keys that may not be read."""
        if not self.is_admin:
            for key in keys:
                self.read(key)


class Authority:
    """Makes checks; caches the rights of a user for as long as the records they come from stay the same.

    A record that is the very object it was has not changed, and nor has anything else while the state has not: every
    change makes a new state. Records that are only equal are compared one by one, because a batch that was given up may
    have had the same revision with other users.
    """

    def __init__(self) -> None:
        self._state: tuple[bytes | None, AuthState] = (None, AuthState())
        self._known: dict[str, _Known] = {}

    def state(self, records: Records) -> AuthState:
        """Return the state of authentication."""
        record = records(STATE)
        known, state = self._state
        if record is known:
            return state
        state = auth_state(records)
        self._state = (record, state)
        return state

    def check(self, records: Records, identity: Identity | None) -> Check:
        """Return the check for a request by `identity` that is evaluated with `records`."""
        state = self.state(records)
        if not state.enabled or identity is None:
            return Check(state, identity, None)
        return Check(state, identity, self._rights(records, identity.user))

    def _rights(self, records: Records, name: str) -> Rights | None:
        """Return the rights of a user, from the cache while they hold; None when there is no such user."""
        state = records(STATE)
        known = self._known.get(name)
        if known is not None and known.state is state:
            return known.rights
        record = records(user_record(name))
        if record is None:
            self._known.pop(name, None)
            return None
        if known is None or known.user != record or any(records(role) != held for role, held in known.roles):
            known = _compile(records, record)
            self._known[name] = known
        known.state = state
        return known.rights


class _Known:
    """The rights of a user, with the records of the user and of the user's roles that they were computed from."""

    def __init__(self, user: bytes, roles: list[tuple[bytes, bytes | None]], rights: Rights) -> None:
        self.user = user
        self.roles = roles
        self.rights = rights
        self.state: bytes | None = None
        """The state of authentication when these rights were last found to hold."""


def _compile(records: Records, record: bytes) -> _Known:
    user = authpb.User.FromString(record)
    roles = [(role_record(role), records(role_record(role))) for role in user.roles]
    return _Known(record, roles, Rights(user, [authpb.Role.FromString(held) for _, held in roles if held is not None]))
