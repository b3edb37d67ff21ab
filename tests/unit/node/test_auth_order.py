"""Authentication where order and durability matter: over the local engine, and across a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from google.protobuf.message import Message

from brainctl.clock import ManualClock
from brainctl.engine.engine import Engine
from brainctl.errors import ApiError, BrainctlError
from brainctl.etcdpb import auth_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.node.access.passwords import Passwords
from brainctl.node.local.backend import open_local
from brainctl.node.node import Node
from brainctl.stores.in_process import NodeStore
from tests.support.rbac import AUTH, KV, LEASE

SECRET = b"secret/"


class Running:
    """A node over the local engine, called without waiting."""

    def __init__(self, directory: Path) -> None:
        engine = Engine.open(str(directory))
        self.node = Node(open_local(engine, asyncio.get_running_loop()), ManualClock(), passwords=Passwords(cost=4))

    def start(self, path: str, request: Message, token: str | None = None) -> "asyncio.Future[bytes | BrainctlError]":
        answer: asyncio.Future[bytes | BrainctlError] = asyncio.get_running_loop().create_future()
        self.node.call(path, request.SerializeToString(), answer.set_result, token)
        return answer

    async def do(self, path: str, request: Message, token: str | None = None) -> bytes:
        answer = await self.start(path, request, token)
        if isinstance(answer, BrainctlError):
            raise answer
        return answer

    async def token(self, name: str) -> str:
        body = await self.do(AUTH + "Authenticate", pb.AuthenticateRequest(name=name, password=name + "-pw"))
        return pb.AuthenticateResponse.FromString(body).token

    async def populate(self) -> None:
        for name, role in (("root", "root"), ("user", "role")):
            if role != "root":
                await self.do(AUTH + "RoleAdd", pb.AuthRoleAddRequest(name=role))
            await self.do(AUTH + "UserAdd", pb.AuthUserAddRequest(name=name, password=name + "-pw"))
            await self.do(AUTH + "UserGrantRole", pb.AuthUserGrantRoleRequest(user=name, role=role))
        permission = auth_pb2.Permission(permType=auth_pb2.Permission.READWRITE, key=b"k", range_end=b"l")
        await self.do(AUTH + "RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="role", perm=permission))
        await self.do(AUTH + "AuthEnable", pb.AuthEnableRequest())


def run(directory: Path, story: Callable[[Running], Awaitable[None]]) -> None:
    async def main() -> None:
        running = Running(directory)
        try:
            await story(running)
        finally:
            await running.node.close()

    asyncio.run(main())


def text(answer: bytes | BrainctlError) -> str:
    return answer.status.message if isinstance(answer, ApiError) else "ok"


def test_a_write_right_behind_the_loss_of_its_permission_is_refused(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.populate()
        root, user = await running.token("root"), await running.token("user")
        revoke = pb.AuthUserRevokeRoleRequest(name="user", role="role")
        put = pb.PutRequest(key=b"k")
        # One turn of the event loop, so one group commit: nothing of it is durable when the second put is evaluated.
        answers = [
            running.start(KV + "Put", put, user),
            running.start(AUTH + "UserRevokeRole", revoke, root),
            running.start(KV + "Put", put, user),
            running.start(KV + "Txn", pb.TxnRequest(success=[pb.RequestOp(request_put=put)]), user),
        ]
        old = "etcdserver: revision of auth store is old"
        assert [text(await answer) for answer in answers] == ["ok", "ok", old, old]
        assert text(await running.start(KV + "Put", put, user)) == "etcdserver: permission denied"

    run(tmp_path, story)


def test_a_lease_that_got_a_foreign_key_just_now_cannot_be_revoked(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.populate()
        root, user = await running.token("root"), await running.token("user")
        await running.do(LEASE + "LeaseGrant", pb.LeaseGrantRequest(ID=5, TTL=100), user)
        answers = [
            running.start(KV + "Put", pb.PutRequest(key=b"secret", lease=5), root),
            running.start(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(ID=5), user),
            running.start(KV + "Put", pb.PutRequest(key=b"k", lease=5), user),
        ]
        denied = "etcdserver: permission denied"
        assert [text(await answer) for answer in answers] == ["ok", denied, denied]

    run(tmp_path, story)


def test_users_outlive_the_process_and_their_sessions_do_not(tmp_path: Path) -> None:
    tokens = []

    async def before(running: Running) -> None:
        await running.populate()
        tokens.append(await running.token("user"))
        root = await running.token("root")
        await running.do(LEASE + "LeaseGrant", pb.LeaseGrantRequest(ID=5, TTL=100), root)
        await running.do(KV + "Put", pb.PutRequest(key=b"secret", lease=5), root)

    async def after(running: Running) -> None:
        get = pb.RangeRequest(key=b"k")
        assert text(await running.start(KV + "Range", get)) == "etcdserver: user name is empty"
        assert text(await running.start(KV + "Range", get, tokens[0])) == "etcdserver: invalid auth token"
        user = await running.token("user")
        assert text(await running.start(KV + "Range", get, user)) == "ok"
        revoke = pb.LeaseRevokeRequest(ID=5)
        assert text(await running.start(LEASE + "LeaseRevoke", revoke, user)) == "etcdserver: permission denied"

    run(tmp_path, before)
    run(tmp_path, after)


def test_a_lease_is_not_judged_before_its_keys_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def before(running: Running) -> None:
        await running.populate()
        root = await running.token("root")
        await running.do(LEASE + "LeaseGrant", pb.LeaseGrantRequest(ID=5, TTL=100), root)
        for number in range(5):
            await running.do(KV + "Put", pb.PutRequest(key=b"a%d" % number, lease=5 if number == 4 else 0), root)

    async def after(running: Running) -> None:
        assert running.node._lease.lessor.recovering, "the control: there is something to wait for"
        user = running.node._auth._tokens.assign("user", 0)
        revoke = running.start(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(ID=5), user)
        assert not revoke.done()
        assert text(await revoke) == "etcdserver: permission denied"

    run(tmp_path, before)
    monkeypatch.setattr("brainctl.node.services.lease.RECOVER_KEYS", 1)
    run(tmp_path, after)


def test_who_holds_the_directory_needs_no_password(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.populate()
        store = NodeStore(running.node, "file://somewhere")
        await store.put(pb.PutRequest(key=b"k", value=b"v"))
        assert (await store.range(pb.RangeRequest(key=b"k"))).kvs[0].value == b"v"
        assert (await store.status()).version

    run(tmp_path, story)
