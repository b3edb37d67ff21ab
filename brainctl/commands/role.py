"""brainctl role add, delete, get, list, grant-permission, revoke-permission."""

from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import command, group
from brainctl.cli.options import FromKey, Prefix, name_of, raw
from brainctl.cli.session import Session
from brainctl.errors import BadArguments
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc.prefix import prefix_end
from brainctl.output.answers import Done
from brainctl.output.roles import range_text, role_text

RoleArgument = Annotated[list[str] | None, typer.Argument(metavar="ROLE", show_default=False)]
EXCLUSIVE = "--from-key and --prefix flags are mutually exclusive"


def parse_add(args: RoleArgument = None) -> str:
    """Add ROLE, which allows nothing yet."""
    return _role(args, "add")


async def add(session: Session, name: str) -> None:
    """Add the role."""
    async with session.open() as store:
        request = pb.AuthRoleAddRequest(name=name)
        response = await store.call("/etcdserverpb.Auth/RoleAdd", request, pb.AuthRoleAddResponse)
    session.show(Done(f"Role {name} created\n".encode(), response))


def parse_delete(args: RoleArgument = None) -> str:
    """Delete ROLE; users lose it."""
    return _role(args, "delete")


async def delete(session: Session, name: str) -> None:
    """Delete the role."""
    async with session.open() as store:
        request = pb.AuthRoleDeleteRequest(role=name)
        response = await store.call("/etcdserverpb.Auth/RoleDelete", request, pb.AuthRoleDeleteResponse)
    session.show(Done(f"Role {name} deleted\n".encode(), response))


def parse_get(args: RoleArgument = None) -> str:
    """Show what ROLE allows."""
    return _role(args, "get")


async def get(session: Session, name: str) -> None:
    """Ask and show it."""
    async with session.open() as store:
        request = pb.AuthRoleGetRequest(role=name)
        response = await store.call("/etcdserverpb.Auth/RoleGet", request, pb.AuthRoleGetResponse)
    session.show(Done(role_text(name, response), response))


def parse_list(args: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """List the roles."""
    if args:
        raise BadArguments("role list command requires no arguments")


async def list_roles(session: Session, plan: None) -> None:
    """Ask and show them."""
    del plan
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Auth/RoleList", pb.AuthRoleListRequest(), pb.AuthRoleListResponse)
    session.show(response)


def parse_grant(
    args: Annotated[
        list[str] | None, typer.Argument(metavar="ROLE read|write|readwrite KEY [END]", show_default=False)
    ] = None,
    prefix: Prefix = False,
    from_key: FromKey = False,
) -> pb.AuthRoleGrantPermissionRequest:
    """Allow ROLE to read, write or both: KEY, or all keys from KEY to before END."""
    if args is None or len(args) < 3:
        raise BadArguments("role grant command requires role name, permission type, and key [endkey] as its argument")
    if args[1].upper() not in authpb.Permission.Type.keys():  # noqa: SIM118 - a wrapper, not a mapping
        raise BadArguments(f"invalid permission type: {args[1]}")
    key, end = key_range(args[2:], prefix=prefix, from_key=from_key)
    permission = authpb.Permission(permType=args[1].upper(), key=key, range_end=end)
    return pb.AuthRoleGrantPermissionRequest(name=name_of(args[0]), perm=permission)


async def grant(session: Session, request: pb.AuthRoleGrantPermissionRequest) -> None:
    """Allow it."""
    async with session.open() as store:
        method = "/etcdserverpb.Auth/RoleGrantPermission"
        response = await store.call(method, request, pb.AuthRoleGrantPermissionResponse)
    session.show(Done(f"Role {request.name} updated\n".encode(), response))


class Revocation(NamedTuple):
    """Options of `brainctl role revoke-permission`: the permission, and the key as it was typed."""

    request: pb.AuthRoleRevokePermissionRequest
    typed: bytes


def parse_revoke(
    args: Annotated[list[str] | None, typer.Argument(metavar="ROLE KEY [END]", show_default=False)] = None,
    prefix: Prefix = False,
    from_key: FromKey = False,
) -> Revocation:
    """Take a permission from ROLE, which must have been given for exactly this KEY and END."""
    if args is None or len(args) < 2:
        raise BadArguments("role revoke-permission command requires role name and key [endkey] as its argument")
    key, end = key_range(args[1:], prefix=prefix, from_key=from_key)
    request = pb.AuthRoleRevokePermissionRequest(role=name_of(args[0]), key=key, range_end=end)
    return Revocation(request, raw(args[1]))


async def revoke(session: Session, plan: Revocation) -> None:
    """Take it."""
    request = plan.request
    async with session.open() as store:
        method = "/etcdserverpb.Auth/RoleRevokePermission"
        response = await store.call(method, request, pb.AuthRoleRevokePermissionResponse)
    end = request.range_end
    what = b"range " + range_text(plan.typed, end) if end else b"key " + plan.typed
    session.show(Done(b"Permission of %b is revoked from role %b\n" % (what, request.role.encode()), response))


def key_range(args: list[str], *, prefix: bool, from_key: bool) -> tuple[bytes, bytes]:
    r"""Return key and range_end of a permission.

    With --prefix or --from-key an empty key means all keys; without, it is the key b"\0".

    Raises:
        BadArguments: the flags exclude each other, or the arguments.
    """
    if prefix and from_key and (len(args) == 1 or not args[0]):
        raise BadArguments(EXCLUSIVE)
    if not args[0]:
        return b"\0", b"\0" if prefix or from_key else b""
    key = raw(args[0])
    if len(args) == 1:
        return key, prefix_end(key) if prefix else b"\0" if from_key else b""
    if prefix or from_key:
        raise BadArguments(f"unexpected endkey argument with --{'prefix' if prefix else 'from-key'} flag")
    return key, raw(args[1])


def _role(args: list[str] | None, subcommand: str) -> str:
    if args is None or len(args) != 1:
        raise BadArguments(f"role {subcommand} command requires role name as its argument")
    return name_of(args[0])


app = group("Manage roles and what they allow.")
app.command("add")(command(parse_add, add))
app.command("delete")(command(parse_delete, delete))
app.command("get")(command(parse_get, get))
app.command("list")(command(parse_list, list_roles))
app.command("grant-permission")(command(parse_grant, grant))
app.command("revoke-permission")(command(parse_revoke, revoke))
