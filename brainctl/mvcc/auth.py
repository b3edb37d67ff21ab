"""Users and roles, and how requests change them (etcd server/auth/store.go).

Each user and each role is a small record, changed in a batch and so ordered with the writes of keys. Every change
increments the auth revision, which makes requests of older identities fail. Passwords do not come here: what is stored
is a bcrypt hash, made before the request is evaluated.
"""

from collections.abc import Iterable

from brainctl.errors import (
    INVALID_AUTH_MANAGEMENT,
    PERMISSION_NOT_GIVEN,
    PERMISSION_NOT_GRANTED,
    ROLE_EMPTY,
    ROLE_EXISTS,
    ROLE_NOT_FOUND,
    ROLE_NOT_GRANTED,
    ROOT_ROLE_MISSING,
    ROOT_USER_MISSING,
    USER_EMPTY,
    USER_EXISTS,
    USER_NOT_FOUND,
    ApiError,
)
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.batch import Batch
from brainctl.mvcc.permission import ROOT, STATE, Records, auth_state, role_record, user_record

ROOT_PERMISSION = authpb.Permission(permType=authpb.Permission.READWRITE, range_end=b"\0")
"""The permission that the root role is shown to hold: all keys."""


def find_user(records: Records, name: str) -> authpb.User:
    """Return a user.

    Raises:
        ApiError: There is no such user.
    """
    record = records(user_record(name))
    if record is None:
        raise ApiError(USER_NOT_FOUND)
    return authpb.User.FromString(record)


def find_role(records: Records, name: str) -> authpb.Role:
    """Return a role.

    Raises:
        ApiError: There is no such role.
    """
    record = records(role_record(name))
    if record is None:
        raise ApiError(ROLE_NOT_FOUND)
    return authpb.Role.FromString(record)


def permissions_of(role: authpb.Role) -> list[authpb.Permission]:
    """Return the permissions that a role is shown to hold."""
    return [ROOT_PERMISSION] if role.name == ROOT.encode() else list(role.keyPermission)


# -- on and off ---------------------------------------------------------------------------------------------------


def enable(batch: Batch) -> None:
    """Turn authentication on.

    Raises:
        ApiError: There is no root user, or it lacks the root role.
    """
    state = auth_state(batch.record)
    if state.enabled:
        return
    record = batch.record(user_record(ROOT))
    if record is None:
        raise ApiError(ROOT_USER_MISSING)
    if ROOT not in authpb.User.FromString(record).roles:
        raise ApiError(ROOT_ROLE_MISSING)
    batch.set_record(STATE, state._replace(enabled=True).encode())


def disable(batch: Batch) -> None:
    """Turn authentication off."""
    state = auth_state(batch.record)
    if state.enabled:
        batch.set_record(STATE, state._replace(enabled=False, revision=state.revision + 1).encode())


# -- users --------------------------------------------------------------------------------------------------------


def add_user(batch: Batch, request: pb.AuthUserAddRequest, password: bytes) -> None:
    """Add a user with a hashed password, which is empty for a user without one.

    Raises:
        ApiError: The name is empty or taken.
    """
    if not request.name:
        raise ApiError(USER_EMPTY)
    if batch.record(user_record(request.name)) is not None:
        raise ApiError(USER_EXISTS)
    options = request.options if request.HasField("options") else authpb.UserAddOptions()
    _save_user(batch, authpb.User(name=request.name.encode(), password=password, options=options))


def delete_user(batch: Batch, name: str) -> None:
    """Remove a user.

    Raises:
        ApiError: It is root while authentication is on, or does not exist.
    """
    if name == ROOT and auth_state(batch.record).enabled:
        raise ApiError(INVALID_AUTH_MANAGEMENT)
    find_user(batch.record, name)
    batch.set_record(user_record(name), None)
    _advance(batch)


def change_password(batch: Batch, name: str, password: bytes) -> None:
    """Set the hashed password of a user; one created without a password keeps none.

    Raises:
        ApiError: There is no such user.
    """
    user = find_user(batch.record, name)
    user.password = b"" if user.options.no_password else password
    _save_user(batch, user)


def grant_role(batch: Batch, name: str, role: str) -> None:
    """Give a user a role; the root role need not exist. Nothing happens when the user has it.

    Raises:
        ApiError: The user or the role does not exist.
    """
    user = find_user(batch.record, name)
    if role != ROOT:
        find_role(batch.record, role)
    if role not in user.roles:
        user.roles[:] = sorted([*user.roles, role])
        _save_user(batch, user)


def revoke_role(batch: Batch, name: str, role: str) -> None:
    """Remove a role from a user.

    Raises:
        ApiError: It is the root user's root role while authentication is on, the user does not exist or lacks the role.
    """
    if name == ROOT and role == ROOT and auth_state(batch.record).enabled:
        raise ApiError(INVALID_AUTH_MANAGEMENT)
    user = find_user(batch.record, name)
    if role not in user.roles:
        raise ApiError(ROLE_NOT_GRANTED)
    _save_user(batch, without_role(user, role))


def without_role(user: authpb.User, role: str) -> authpb.User:
    """Remove a role from a user message, and return it."""
    user.roles[:] = [held for held in user.roles if held != role]
    return user


def _save_user(batch: Batch, user: authpb.User) -> None:
    batch.set_record(user_record(user.name.decode()), user.SerializeToString())
    _advance(batch)


# -- roles --------------------------------------------------------------------------------------------------------


def add_role(batch: Batch, name: str) -> None:
    """Add a role without permissions.

    Raises:
        ApiError: The name is empty or taken.
    """
    if not name:
        raise ApiError(ROLE_EMPTY)
    if batch.record(role_record(name)) is not None:
        raise ApiError(ROLE_EXISTS)
    _save_role(batch, authpb.Role(name=name.encode()))


def delete_role(batch: Batch, name: str, users: Iterable[bytes]) -> None:
    """Remove a role, also from the users that have it.

    Args:
        batch: The group commit.
        name: The role.
        users: Names of at least the records of the users that have it.

    Raises:
        ApiError: It is root while authentication is on, or does not exist.
    """
    if name == ROOT and auth_state(batch.record).enabled:
        raise ApiError(INVALID_AUTH_MANAGEMENT)
    find_role(batch.record, name)
    batch.set_record(role_record(name), None)
    for record_name in sorted(users):
        record = batch.record(record_name)
        if record is None:
            continue
        user = authpb.User.FromString(record)
        if name in user.roles:
            batch.set_record(record_name, without_role(user, name).SerializeToString())
    _advance(batch)


def grant_permission(batch: Batch, request: pb.AuthRoleGrantPermissionRequest) -> None:
    """Give a role a permission on a range, or change the kind of the one it has on the same range.

    Raises:
        ApiError: The request has no permission, its range is not valid, or the role does not exist.
    """
    if not request.HasField("perm"):
        raise ApiError(PERMISSION_NOT_GIVEN)
    permission = request.perm
    if not is_grantable(permission.key, permission.range_end):
        raise ApiError(INVALID_AUTH_MANAGEMENT)
    role = find_role(batch.record, request.name)
    same = [one for one in role.keyPermission if _is_on(one, permission.key, permission.range_end)]
    if same:
        for one in same:
            one.permType = permission.permType
    else:
        role.keyPermission.append(permission)
        role.keyPermission.sort(key=lambda one: one.key)
    _save_role(batch, role)


def revoke_permission(batch: Batch, request: pb.AuthRoleRevokePermissionRequest) -> None:
    """Remove the permission on exactly this range from a role.

    Raises:
        ApiError: The role does not exist, or has no such permission.
    """
    role = find_role(batch.record, request.role)
    kept = [one for one in role.keyPermission if not _is_on(one, request.key, request.range_end)]
    if len(kept) == len(role.keyPermission):
        raise ApiError(PERMISSION_NOT_GRANTED)
    _save_role(batch, authpb.Role(name=role.name, keyPermission=kept))


def is_grantable(key: bytes, range_end: bytes) -> bool:
    """Return whether a permission may name this range: it has a key, and ends, if it ends, after it begins."""
    return bool(key) and (not range_end or range_end == b"\0" or key < range_end)


def _is_on(permission: authpb.Permission, key: bytes, range_end: bytes) -> bool:
    return permission.key == key and permission.range_end == range_end


def _save_role(batch: Batch, role: authpb.Role) -> None:
    batch.set_record(role_record(role.name.decode()), role.SerializeToString())
    _advance(batch)


def _advance(batch: Batch) -> None:
    state = auth_state(batch.record)
    batch.set_record(STATE, state._replace(revision=state.revision + 1).encode())
