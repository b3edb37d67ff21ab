"""The users, roles and switch of authentication of any store, with the password hashes.

The Auth service returns everything but the hashes. Those are in the snapshot of a server. Of it only the pages with the
small buckets are kept, and it is read only until they are complete.
"""

import asyncio
import mmap
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import IO, NamedTuple, cast

from google.protobuf.message import DecodeError

from brainctl.backup.etcd_database import Database
from brainctl.errors import (
    ApiError,
    BrainctlError,
    Code,
    ConnectionFailed,
    ExitCode,
    InvalidInput,
    SnapshotDamaged,
    StoreDamaged,
)
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.permission import AUTH, ROLES, STATE, USERS, AuthState, auth_state
from brainctl.stores.store import Store
from brainctl.wire.bbolt_sieve import Sieve

FIRST_LOOK = 1 << 20
"""The bytes of a snapshot after which the users are looked for; again whenever the bytes have doubled."""
ATTEMPTS = 5
"""Number of times that a snapshot is read when the member is behind the others."""
BEHIND_PAUSE = 0.2
"""Seconds between two such attempts."""
_HASHES = (b"$2a$", b"$2b$", b"$2y$")
"""The prefixes of bcrypt hashes."""
_REFUSALS = frozenset({Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT, Code.UNAUTHENTICATED})
"""Codes of the errors that say that the caller is not permitted to read users."""


class AuthUnreadable(BrainctlError):
    """The caller is not permitted to see the users and roles of a store."""

    exit_code = ExitCode.ERROR


class Auth(NamedTuple):
    """Users, roles and whether authentication is on."""

    state: AuthState = AuthState()
    users: Mapping[str, bytes] = MappingProxyType({})
    """Marshalled authpb.User by name."""
    roles: Mapping[str, bytes] = MappingProxyType({})
    """Marshalled authpb.Role by name."""

    def records(self) -> dict[bytes, bytes]:
        """Return the small records in which a store keeps them; none for a store that never had users."""
        if self == Auth():
            return {}
        users = {USERS + name.encode(): record for name, record in self.users.items()}
        return (
            users
            | {ROLES + name.encode(): record for name, record in self.roles.items()}
            | {STATE: self.state.encode()}
        )

    @classmethod
    def of(cls, records: dict[bytes, bytes]) -> "Auth":
        """Return the users and roles that small records describe."""
        return cls(auth_state(records.get), _named(records, USERS), _named(records, ROLES))

    @classmethod
    def of_database(cls, database: Database) -> "Auth":
        """Return the users and roles in a database file of etcd.

        Raises:
            StoreDamaged: A record is another one's.
            DecodeError: A record is damaged.
        """
        users = _matching(dict(database.users()), lambda record: authpb.User.FromString(record).name)
        roles = _matching(dict(database.roles()), lambda record: authpb.Role.FromString(record).name)
        return cls(database.auth(), users, roles)


def _named(records: dict[bytes, bytes], prefix: bytes) -> dict[str, bytes]:
    return {name[len(prefix) :].decode(): record for name, record in records.items() if name.startswith(prefix)}


class AuthReader:
    """Reads the users and roles of one store, and reads them again only when they have changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: Auth | None = None

    async def read(self) -> Auth:
        """Return the present users and roles.

        Raises:
            AuthUnreadable: The caller is not permitted to see them.
            InvalidInput: A user cannot be copied.
        """
        try:
            return await self._read()
        except ApiError as error:
            if error.status.code not in _REFUSALS:
                raise
            raise AuthUnreadable(
                f"the users and roles of {self._store.url} cannot be read ({error}): --user with the role root may "
                "read them, --no-auth leaves them out"
            ) from error

    async def changed(self) -> Auth | None:
        """Return the present users and roles.

        None when they have not changed since the last read, or it is not known.
        """
        known = self._known
        if known is not None and self._store.in_process is None:
            state = await self._status()
            if state is None or state == known.state:
                return None
        found = await self.read()
        return None if found == known else found

    async def _read(self) -> Auth:
        """Read the users and roles, check them and remember them."""
        if (local := self._store.in_process) is not None:
            found = Auth.of(local.node.backend.records(AUTH))
        else:
            found = await self._ask()
        self._known = _checked(found)
        return found

    async def _ask(self) -> Auth:
        """Read from a server with as few requests as possible."""
        state = await self._status()
        if state == AuthState():
            return Auth()
        if state is not None and self._known is not None and state == self._known.state:
            return self._known
        if (state is None or not state.enabled) and not await self._has_any():
            return Auth(state or AuthState())
        for _ in range(ATTEMPTS):
            found = await _from_snapshot(self._store)
            if state is None or found.state.revision >= state.revision:
                return found
            await asyncio.sleep(BEHIND_PAUSE)
        raise ConnectionFailed(
            f"{self._store.url}: the member that is asked is behind the others; name another endpoint"
        )

    async def _status(self) -> AuthState | None:
        """Return the switch and the revision of authentication; None when the server is too old to report both."""
        try:
            answer = await self._store.call(
                "/etcdserverpb.Auth/AuthStatus", pb.AuthStatusRequest(), pb.AuthStatusResponse
            )
        except ApiError as error:
            if error.status.code is Code.UNIMPLEMENTED:
                return None
            raise
        return AuthState(answer.enabled, answer.authRevision) if answer.authRevision else None

    async def _has_any(self) -> bool:
        """Return whether a server has any user or role."""
        call = self._store.call
        users = await call("/etcdserverpb.Auth/UserList", pb.AuthUserListRequest(), pb.AuthUserListResponse)
        roles = await call("/etcdserverpb.Auth/RoleList", pb.AuthRoleListRequest(), pb.AuthRoleListResponse)
        return bool(users.users or roles.roles)


def _checked(auth: Auth) -> Auth:
    """Check that users would be the same in a copy.

    Raises:
        InvalidInput: A password hash is not of bcrypt.
    """
    for name, record in auth.users.items():
        password = authpb.User.FromString(record).password
        if password and not password.startswith(_HASHES):
            raise InvalidInput(
                f"the user {name!r} has a password hash that is not of bcrypt: set the password again, or leave users "
                "and roles out with --no-auth"
            )
    return auth


async def _from_snapshot(store: Store) -> Auth:
    """Read the users and roles from the snapshot of a server."""
    found = await _sieved(store, Sieve())
    return found if found is not None else await _all_of(store)


async def _all_of(store: Store) -> Auth:
    """Read them from all pages of the snapshot, when the sieve left out a page because it looked like key revisions.

    Raises:
        StoreDamaged: They are not in the snapshot.
    """
    found = await _sieved(store, Sieve(everything=True))
    if found is None:
        raise SnapshotDamaged(f"the snapshot of {store.url} has no users and roles that can be read")
    return found


async def _sieved(store: Store, sieve: Sieve) -> Auth | None:
    """Read the users and roles from the pages that a sieve keeps; return None when some are missing."""
    look = FIRST_LOOK
    with TemporaryFile() as file:
        async with aclosing(cast("AsyncGenerator[pb.SnapshotResponse]", store.snapshot())) as responses:
            async for response in responses:
                for offset, page in sieve.feed(response.blob):
                    file.seek(offset)
                    file.write(page)
                if sieve.length >= look:
                    look *= 2
                    if (found := _look(file, sieve.length)) is not None:
                        return found
        return _look(file, sieve.length)


def _look(file: IO[bytes], length: int) -> Auth | None:
    """Read the users and roles from a file with holes; return None while a page is missing."""
    if not length:
        return None
    file.flush()
    file.truncate(length)
    try:
        return Auth.of_database(Database(mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)))
    except (StoreDamaged, DecodeError, UnicodeDecodeError):
        return None


def _matching(records: dict[bytes, bytes], name_of: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """Return records by name.

    Raises:
        StoreDamaged: A record has another name than that under which it is stored.
    """
    for name, record in records.items():
        if name_of(record) != name:
            raise SnapshotDamaged(f"the record of {name!r} is another one's")
    return {name.decode(): record for name, record in records.items()}
