"""The Auth service: one story told to a node, to `brainctl serve` and to a real etcd.

The chapters build on each other, down to the auth revision, so the story is one test.
"""

from typing import Any

import pytest

from brainctl.errors import Code
from brainctl.etcdpb import auth_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from tests.conftest import NewBrainctl
from tests.support.apis import api as api  # noqa: PLC0414 - pytest finds fixtures by their name here
from tests.support.rbac import AUTH, KV, READ, READWRITE, WRITE, token_of
from tests.support.rpc import Api, Refused, Remote

WRONG_PASSWORD = (Code.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password")


class Story:
    """Calls of the Auth service, and what came of them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.token: str | None = None

    def do(self, name: str, request: Any) -> Any:
        return self.api.call(AUTH + name, request, self.token)

    def fails(self, name: str, request: Any, code: Code, text: str) -> None:
        with pytest.raises(Refused) as refused:
            self.do(name, request)
        assert (refused.value.code, refused.value.text) == (code, "etcdserver: " + text)

    @property
    def status(self) -> tuple[bool, int]:
        status = self.do("AuthStatus", pb.AuthStatusRequest())
        return status.enabled, status.authRevision

    def permissions(self, role: str) -> list[tuple[int, bytes, bytes]]:
        held = self.do("RoleGet", pb.AuthRoleGetRequest(role=role)).perm
        return [(one.permType, one.key, one.range_end) for one in held]

    def roles(self, user: str) -> list[str]:
        return list(self.do("UserGet", pb.AuthUserGetRequest(name=user)).roles)


def permit(role: str, kind: int, key: bytes, end: bytes = b"") -> pb.AuthRoleGrantPermissionRequest:
    return pb.AuthRoleGrantPermissionRequest(name=role, perm=auth_pb2.Permission(permType=kind, key=key, range_end=end))


def before_there_is_anyone(story: Story) -> None:
    assert story.status == (False, 1)
    story.fails("AuthEnable", pb.AuthEnableRequest(), Code.FAILED_PRECONDITION, "root user does not exist")
    story.fails(
        "Authenticate", pb.AuthenticateRequest(name="a"), Code.FAILED_PRECONDITION, "authentication is not enabled"
    )
    story.do("AuthDisable", pb.AuthDisableRequest())
    assert story.status == (False, 1)
    assert list(story.do("UserList", pb.AuthUserListRequest()).users) == []
    assert list(story.do("RoleList", pb.AuthRoleListRequest()).roles) == []


def roles(story: Story) -> None:
    story.fails("RoleAdd", pb.AuthRoleAddRequest(), Code.INVALID_ARGUMENT, "role name is empty")
    for name in ("b", "a", "ü"):
        story.do("RoleAdd", pb.AuthRoleAddRequest(name=name))
    story.fails("RoleAdd", pb.AuthRoleAddRequest(name="a"), Code.FAILED_PRECONDITION, "role name already exists")
    assert list(story.do("RoleList", pb.AuthRoleListRequest()).roles) == ["a", "b", "ü"]
    missing = (Code.FAILED_PRECONDITION, "role name not found")
    story.fails("RoleGet", pb.AuthRoleGetRequest(role="c"), *missing)
    story.fails("RoleDelete", pb.AuthRoleDeleteRequest(role="c"), *missing)
    story.fails("RoleGrantPermission", permit("c", READ, b"k"), *missing)
    story.fails("RoleRevokePermission", pb.AuthRoleRevokePermissionRequest(role="c", key=b"k"), *missing)
    assert story.status == (False, 4)


def permissions(story: Story) -> None:
    story.fails(
        "RoleGrantPermission",
        pb.AuthRoleGrantPermissionRequest(name="a"),
        Code.INVALID_ARGUMENT,
        "permission not given",
    )
    for key, end in ((b"", b""), (b"", b"\0"), (b"b", b"a"), (b"b", b"b")):
        story.fails(
            "RoleGrantPermission", permit("a", READ, key, end), Code.INVALID_ARGUMENT, "invalid auth management"
        )
    for kind, key, end in ((READ, b"k", b""), (WRITE, b"b", b"c"), (READWRITE, b"x", b"\0"), (WRITE, b"k", b"")):
        story.do("RoleGrantPermission", permit("a", kind, key, end))
    assert story.permissions("a") == [(WRITE, b"b", b"c"), (WRITE, b"k", b""), (READWRITE, b"x", b"\0")]
    story.fails(
        "RoleRevokePermission",
        pb.AuthRoleRevokePermissionRequest(role="a", key=b"k", range_end=b"\0"),
        Code.FAILED_PRECONDITION,
        "permission is not granted to the role",
    )
    story.do("RoleRevokePermission", pb.AuthRoleRevokePermissionRequest(role="a", key=b"k"))
    assert story.permissions("a") == [(WRITE, b"b", b"c"), (READWRITE, b"x", b"\0")]
    assert story.status == (False, 9)


def users(story: Story) -> None:
    story.fails("UserAdd", pb.AuthUserAddRequest(password="pw"), Code.INVALID_ARGUMENT, "user name is empty")
    for name in ("root", "user", "certified"):
        options = auth_pb2.UserAddOptions(no_password=name == "certified")
        password = "" if options.no_password else name + "-pw"
        story.do("UserAdd", pb.AuthUserAddRequest(name=name, password=password, options=options))
    story.fails(
        "UserAdd",
        pb.AuthUserAddRequest(name="user", password="pw"),
        Code.FAILED_PRECONDITION,
        "user name already exists",
    )
    assert list(story.do("UserList", pb.AuthUserListRequest()).users) == ["certified", "root", "user"]
    missing = (Code.FAILED_PRECONDITION, "user name not found")
    story.fails("UserGet", pb.AuthUserGetRequest(name="x"), *missing)
    story.fails("UserDelete", pb.AuthUserDeleteRequest(name="x"), *missing)
    story.fails("UserChangePassword", pb.AuthUserChangePasswordRequest(name="x", password="pw"), *missing)
    story.fails("UserGrantRole", pb.AuthUserGrantRoleRequest(user="x", role="a"), *missing)
    story.fails("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="x", role="a"), *missing)
    assert story.status == (False, 12)


def roles_of_users(story: Story) -> None:
    for role in ("b", "a", "a", "ü"):
        story.do("UserGrantRole", pb.AuthUserGrantRoleRequest(user="user", role=role))
    assert story.roles("user") == ["a", "b", "ü"]
    story.fails(
        "UserGrantRole",
        pb.AuthUserGrantRoleRequest(user="user", role="x"),
        Code.FAILED_PRECONDITION,
        "role name not found",
    )
    story.fails(
        "UserRevokeRole",
        pb.AuthUserRevokeRoleRequest(name="user", role="x"),
        Code.FAILED_PRECONDITION,
        "role is not granted to the user",
    )
    story.do("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="user", role="b"))
    story.do("RoleDelete", pb.AuthRoleDeleteRequest(role="ü"))
    assert story.roles("user") == ["a"]
    assert story.status == (False, 17)


def turned_on(story: Story) -> None:
    story.fails("AuthEnable", pb.AuthEnableRequest(), Code.FAILED_PRECONDITION, "root user does not have root role")
    story.do("UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
    story.do("AuthEnable", pb.AuthEnableRequest())
    assert story.status == (True, 18)
    story.fails("AuthEnable", pb.AuthEnableRequest(), Code.INVALID_ARGUMENT, "user name is empty")
    for name, password in (("root", "user-pw"), ("nobody", "pw"), ("root", "x" * 100)):
        with pytest.raises(Refused) as refused:
            token_of(story.api, name, password)
        assert (refused.value.code, refused.value.text) == WRONG_PASSWORD
    with pytest.raises(Refused) as refused:
        token_of(story.api, "certified", "")
    assert refused.value.code is Code.UNKNOWN
    assert refused.value.text == "auth: authentication failed, password was given for no password user"
    story.token = token_of(story.api, "root", "root-pw")
    story.do("AuthEnable", pb.AuthEnableRequest())
    assert story.status == (True, 18)


def root_stays(story: Story) -> None:
    for name, request in (
        ("UserDelete", pb.AuthUserDeleteRequest(name="root")),
        ("RoleDelete", pb.AuthRoleDeleteRequest(role="root")),
        ("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="root", role="root")),
    ):
        story.fails(name, request, Code.INVALID_ARGUMENT, "invalid auth management")
    story.fails("RoleGet", pb.AuthRoleGetRequest(role="root"), Code.FAILED_PRECONDITION, "role name not found")
    story.do("RoleAdd", pb.AuthRoleAddRequest(name="root"))
    assert story.permissions("root") == [(READWRITE, b"", b"\0")]


def what_a_token_is_worth_changes_with_the_roles(story: Story) -> None:
    user = token_of(story.api, "user", "user-pw")
    put = pb.PutRequest(key=b"x1")
    story.api.call(KV + "Put", put, user)
    story.do("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="user", role="a"))
    with pytest.raises(Refused, match="permission denied"):
        story.api.call(KV + "Put", put, user)
    story.do("UserGrantRole", pb.AuthUserGrantRoleRequest(user="user", role="a"))
    story.api.call(KV + "Put", put, user)
    story.do("RoleRevokePermission", pb.AuthRoleRevokePermissionRequest(role="a", key=b"x", range_end=b"\0"))
    with pytest.raises(Refused, match="permission denied"):
        story.api.call(KV + "Put", put, user)


def a_token_ends_with_its_password_and_with_its_user(story: Story) -> None:
    get = pb.AuthUserGetRequest(name="user")
    for end in (
        ("UserChangePassword", pb.AuthUserChangePasswordRequest(name="user", password="new-pw")),
        ("UserDelete", pb.AuthUserDeleteRequest(name="user")),
    ):
        user = token_of(story.api, "user", "user-pw" if end[0] == "UserChangePassword" else "new-pw")
        story.api.call(AUTH + "UserGet", get, user)
        story.do(*end)
        with pytest.raises(Refused, match="invalid auth token"):
            story.api.call(AUTH + "UserGet", get, user)


def turned_off(story: Story) -> None:
    enabled, revision = story.status
    assert enabled
    story.do("AuthDisable", pb.AuthDisableRequest())
    story.token = None
    assert story.status == (False, revision + 1)
    story.do("UserDelete", pb.AuthUserDeleteRequest(name="root"))
    story.api.call(KV + "Put", pb.PutRequest(key=b"anything"))


def a_password_that_bcrypt_would_cut_is_refused(story: Story) -> None:
    with pytest.raises(Refused) as refused:
        story.do("UserAdd", pb.AuthUserAddRequest(name="long", password="x" * 73))
    assert (refused.value.code, refused.value.text) == (Code.UNKNOWN, "bcrypt: password length exceeds 72 bytes")
    story.do("UserAdd", pb.AuthUserAddRequest(name="long", password="x" * 72))


def test_the_story(api: Api) -> None:
    story = Story(api)
    for chapter in (
        before_there_is_anyone,
        roles,
        permissions,
        users,
        roles_of_users,
        turned_on,
        root_stays,
        what_a_token_is_worth_changes_with_the_roles,
        a_token_ends_with_its_password_and_with_its_user,
        turned_off,
        a_password_that_bcrypt_would_cut_is_refused,
    ):
        chapter(story)


def test_the_story_on_tikv(new_brainctl: NewBrainctl, tikv_url: str) -> None:
    remote = Remote(new_brainctl(store=tikv_url).endpoint)
    test_the_story(remote)
    remote.close()
