"""A server with users, and what they may: the scene of the tests of authentication."""

from contextlib import suppress

from brainctl.etcdpb import auth_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.support.rpc import Api, Refused

AUTH = "/etcdserverpb.Auth/"
KV = "/etcdserverpb.KV/"
LEASE = "/etcdserverpb.Lease/"
READ, WRITE, READWRITE = 0, 1, 2


def admin(api: Api, name: str, request: object, token: str | None = None) -> object:
    return api.call(AUTH + name, request, token)  # type: ignore[arg-type]


def add_user(api: Api, name: str, password: str, *roles: str, token: str | None = None) -> None:
    admin(api, "UserAdd", pb.AuthUserAddRequest(name=name, password=password), token)
    for role in roles:
        admin(api, "UserGrantRole", pb.AuthUserGrantRoleRequest(user=name, role=role), token)


def grant(api: Api, role: str, kind: int, key: bytes, range_end: bytes = b"", token: str | None = None) -> None:
    with suppress(Refused):  # there may be a role of that name
        admin(api, "RoleAdd", pb.AuthRoleAddRequest(name=role), token)
    permission = auth_pb2.Permission(permType=kind, key=key, range_end=range_end)
    admin(api, "RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name=role, perm=permission), token)


def token_of(api: Api, name: str, password: str) -> str:
    return str(api.call(AUTH + "Authenticate", pb.AuthenticateRequest(name=name, password=password)).token)


def enable(api: Api, password: str = "rootpw") -> str:
    """Add root and turn authentication on; root's token."""
    add_user(api, "root", password, "root")
    admin(api, "AuthEnable", pb.AuthEnableRequest())
    return token_of(api, "root", password)
