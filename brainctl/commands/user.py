"""brainctl user add, delete, get, list, passwd, grant-role, revoke-role."""

from typing import Annotated, NamedTuple

import typer

from brainctl.cli.command import command, group
from brainctl.cli.options import name_of
from brainctl.cli.password import Interactive, PasswordFile, PasswordSource, new_password
from brainctl.cli.session import Session
from brainctl.errors import BadArguments
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import Done
from brainctl.output.roles import role_text

UserArgument = Annotated[list[str] | None, typer.Argument(metavar="USER", show_default=False)]
UserRole = Annotated[list[str] | None, typer.Argument(metavar="USER ROLE", show_default=False)]


class NewUser(NamedTuple):
    """Options of `brainctl user add`: the user, and the source of the password; `known` is one that is given."""

    name: str
    known: str | None
    source: PasswordSource


def parse_add(
    args: Annotated[list[str] | None, typer.Argument(metavar="USER[:PASSWORD]", show_default=False)] = None,
    interactive: Interactive = True,
    password_file: PasswordFile = "",
    new_user_password: Annotated[
        str,
        typer.Option(
            "--new-user-password",
            metavar="string",
            help="the password of the new user; other users of this machine can see it",
        ),
    ] = "",
    no_password: Annotated[
        bool,
        typer.Option("--no-password", help="create a user without a password, who authenticates with a certificate"),
    ] = False,
) -> NewUser:
    """Add USER, with a password that is asked for."""
    if args is None or len(args) != 1:
        raise BadArguments("user add command requires user name as its argument")
    source = PasswordSource(password_file, interactive)
    name = name_of(args[0])
    if no_password:
        return NewUser(name, "", source)
    if new_user_password:
        return NewUser(name, name_of(new_user_password), source)
    name, colon, password = name.partition(":")
    if colon and not name:
        raise BadArguments("empty user name is not allowed")
    return NewUser(name, password if colon else None, source)


async def add(session: Session, plan: NewUser) -> None:
    """Add the user."""
    password = new_password(session, plan.name, plan.source) if plan.known is None else plan.known
    request = pb.AuthUserAddRequest(
        name=plan.name, password=password, options=authpb.UserAddOptions(no_password=plan.known == "")
    )
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Auth/UserAdd", request, pb.AuthUserAddResponse)
    session.show(Done(f"User {plan.name} created\n".encode(), response))


def parse_delete(args: UserArgument = None) -> str:
    """Delete USER."""
    return _user(args, "delete")


async def delete(session: Session, name: str) -> None:
    """Delete the user."""
    async with session.open() as store:
        request = pb.AuthUserDeleteRequest(name=name)
        response = await store.call("/etcdserverpb.Auth/UserDelete", request, pb.AuthUserDeleteResponse)
    session.show(Done(f"User {name} deleted\n".encode(), response))


class UserQuestion(NamedTuple):
    """Options of `brainctl user get`: the user, and whether the roles are shown as well."""

    name: str
    detail: bool


def parse_get(
    args: UserArgument = None,
    detail: Annotated[bool, typer.Option("--detail", help="also show what the roles allow")] = False,
) -> UserQuestion:
    """Show the roles of USER."""
    return UserQuestion(_user(args, "get"), detail)


async def get(session: Session, plan: UserQuestion) -> None:
    """Ask and show them."""
    async with session.open() as store:
        request = pb.AuthUserGetRequest(name=plan.name)
        response = await store.call("/etcdserverpb.Auth/UserGet", request, pb.AuthUserGetResponse)
        if not plan.detail:
            roles = "".join(f" {role}" for role in response.roles)
            session.show(Done(f"User: {plan.name}\nRoles:{roles}\n".encode(), response))
            return
        session.say(f"User: {plan.name}")
        for role in response.roles:
            session.say("")
            question = pb.AuthRoleGetRequest(role=role)
            answer = await store.call("/etcdserverpb.Auth/RoleGet", question, pb.AuthRoleGetResponse)
            session.show(Done(role_text(role, answer), answer))


def parse_list(args: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """List the users."""
    if args:
        raise BadArguments("user list command requires no arguments")


async def list_users(session: Session, plan: None) -> None:
    """Ask and show them."""
    del plan
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Auth/UserList", pb.AuthUserListRequest(), pb.AuthUserListResponse)
    session.show(response)


class NewPassword(NamedTuple):
    """Whose password changes, and how it is learned."""

    name: str
    source: PasswordSource


def parse_passwd(
    args: UserArgument = None, interactive: Interactive = True, password_file: PasswordFile = ""
) -> NewPassword:
    """Change the password of USER."""
    return NewPassword(_user(args, "passwd"), PasswordSource(password_file, interactive))


async def passwd(session: Session, plan: NewPassword) -> None:
    """Learn the new one and set it."""
    password = new_password(session, plan.name, plan.source)
    request = pb.AuthUserChangePasswordRequest(name=plan.name, password=password)
    async with session.open() as store:
        method = "/etcdserverpb.Auth/UserChangePassword"
        response = await store.call(method, request, pb.AuthUserChangePasswordResponse)
    session.show(Done(b"Password updated\n", response))


def parse_grant_role(args: UserRole = None) -> pb.AuthUserGrantRoleRequest:
    """Give USER the role ROLE."""
    if args is None or len(args) != 2:
        raise BadArguments("user grant command requires user name and role name as its argument")
    return pb.AuthUserGrantRoleRequest(user=name_of(args[0]), role=name_of(args[1]))


async def grant_role(session: Session, request: pb.AuthUserGrantRoleRequest) -> None:
    """Grant the role to the user."""
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Auth/UserGrantRole", request, pb.AuthUserGrantRoleResponse)
    session.show(Done(f"Role {request.role} is granted to user {request.user}\n".encode(), response))


def parse_revoke_role(args: UserRole = None) -> pb.AuthUserRevokeRoleRequest:
    """Take the role ROLE from USER."""
    if args is None or len(args) != 2:
        raise BadArguments("user revoke-role requires user name and role name as its argument")
    return pb.AuthUserRevokeRoleRequest(name=name_of(args[0]), role=name_of(args[1]))


async def revoke_role(session: Session, request: pb.AuthUserRevokeRoleRequest) -> None:
    """Take it."""
    async with session.open() as store:
        response = await store.call("/etcdserverpb.Auth/UserRevokeRole", request, pb.AuthUserRevokeRoleResponse)
    session.show(Done(f"Role {request.role} is revoked from user {request.name}\n".encode(), response))


def _user(args: list[str] | None, subcommand: str) -> str:
    if args is None or len(args) != 1:
        raise BadArguments(f"user {subcommand} command requires user name as its argument")
    return name_of(args[0])


app = group("Manage users, their passwords and their roles.")
app.command("add")(command(parse_add, add))
app.command("delete")(command(parse_delete, delete))
app.command("get")(command(parse_get, get))
app.command("list")(command(parse_list, list_users))
app.command("passwd")(command(parse_passwd, passwd))
app.command("grant-role")(command(parse_grant_role, grant_role))
app.command("revoke-role")(command(parse_revoke_role, revoke_role))
