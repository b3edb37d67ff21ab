"""Users and roles of a real etcd: followed while they change, and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest

from brainctl.clock import SystemClock
from brainctl.errors import InvalidInput
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.migrate import runner
from brainctl.migrate.cutover import Freezer
from brainctl.migrate.etcd_source.source import StoreSource
from brainctl.migrate.machine.phases import Phase
from brainctl.migrate.machine.record import History
from brainctl.migrate.machine.state import Goal, Migration
from brainctl.migrate.retry import Sides
from brainctl.migrate.takeover import prepare
from brainctl.migrate.target import StoreTarget
from brainctl.migrate.target_handle import TargetHandle
from brainctl.mvcc.permission import ROLES, STATE, USERS, AuthState
from brainctl.stores import auth
from brainctl.stores.auth import Auth, AuthReader
from brainctl.stores.etcd.store import EtcdStore
from brainctl.verify.accounts import compared
from brainctl.verify.difference import Account, AccountDifference, AuthSwitch, Problem
from tests.conftest import NewEtcd
from tests.unit.migrate.model import TargetModel
from tests.unit.migrate.running import Watched, etcd_store, no_comparison


async def add_user(store: EtcdStore, name: str) -> None:
    request = pb.AuthUserAddRequest(name=name, password="secret")
    await store.call("/etcdserverpb.Auth/UserAdd", request, pb.AuthUserAddResponse)


async def start(
    store: EtcdStore, target: TargetModel, goal: Goal = Goal.FOLLOW, compare: runner.Compare = no_comparison
) -> tuple[runner.Runner, Watched]:
    clock, watched = SystemClock(), Watched()
    source = StoreSource(store, clock)
    plan = await prepare(source, StoreTarget(target), History.ALL, Random(1), overwrite=False)
    migration = Migration(plan.record, (), goal, clean=plan.clean, auth=await target.auth())
    freezer = Freezer(source.revision, clock, "", "", 5.0)

    async def reopen() -> StoreTarget:
        return StoreTarget(target)

    slot = TargetHandle(await reopen(), reopen, plan.run, plan.epoch)
    sides = Sides.of("source", "target", clock, 30.0, watched.waiting)
    return runner.Runner(migration, source, slot, freezer, compare, watched, clock, sides), watched


def test_changes_of_users_are_followed(new_etcd: NewEtcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "AUTH_SECONDS", 0.1)
    monkeypatch.setattr(runner, "REPORT_SECONDS", 0.1)

    async def story() -> None:
        source, target = etcd_store(new_etcd().endpoint), TargetModel()
        await source.put(pb.PutRequest(key=b"/k"))
        following, watched = await start(source, target)
        running = asyncio.create_task(following.run())
        await watched.until(lambda: target.revision == 2)
        assert target.accounts == {}
        for name in ("alice", "bob"):
            await add_user(source, name)
            await watched.until(lambda name=name: USERS + name.encode() in target.accounts)
        await source.call(
            "/etcdserverpb.Auth/UserDelete", pb.AuthUserDeleteRequest(name="bob"), pb.AuthUserDeleteResponse
        )
        await watched.until(lambda: target.accounts.keys() == {USERS + b"alice", STATE})
        following.stop()
        assert await running == ""
        await source.close()

    asyncio.run(story())


def test_users_that_change_during_the_comparison_are_in_what_is_cut_over(new_etcd: NewEtcd) -> None:
    """They move no revision of the keys, so only another look at them before the commit can tell."""

    async def story() -> None:
        source, target = etcd_store(new_etcd().endpoint), TargetModel()
        await source.put(pb.PutRequest(key=b"/k"))
        await add_user(source, "alice")
        compared_at: list[int] = []

        async def compare(revision: int) -> int:
            compared_at.append(revision)
            if len(compared_at) == 1:
                await add_user(source, "late")
            return 0

        cutting, _ = await start(source, target, Goal.CUTOVER, compare)
        assert await cutting.run() == ""
        assert cutting.migration.phase is Phase.COMMITTED
        assert target.accounts.keys() == {USERS + b"alice", USERS + b"late", STATE}
        assert compared_at == [2, 2]
        await source.close()

    asyncio.run(story())


def test_a_cutover_is_given_up_where_users_never_hold_still(new_etcd: NewEtcd) -> None:
    async def story() -> None:
        source, target = etcd_store(new_etcd().endpoint), TargetModel()
        await source.put(pb.PutRequest(key=b"/k"))
        names = iter(["a", "b", "c", "d", "e", "f"])

        async def compare(_revision: int) -> int:
            await add_user(source, next(names))
            return 0

        cutting, _ = await start(source, target, Goal.CUTOVER, compare)
        assert await cutting.run() == "the users and roles of the source went on changing after it was frozen"
        assert cutting.migration.phase is Phase.SYNCED
        await source.close()

    asyncio.run(story())


def test_the_snapshot_is_not_read_for_users_that_are_known(new_etcd: NewEtcd) -> None:
    class Counting(EtcdStore):
        snapshots = 0

        def snapshot(self) -> AsyncIterator[pb.SnapshotResponse]:
            self.snapshots += 1
            return super().snapshot()

    async def story() -> None:
        source = Counting(etcd_store(new_etcd().endpoint).target)
        reader = AuthReader(source)
        assert await reader.read() == Auth()
        assert await reader.changed() is None
        assert source.snapshots == 0
        await add_user(source, "alice")
        found = await reader.changed()
        assert found is not None
        assert list(found.users) == ["alice"]
        assert (await reader.read(), await reader.changed()) == (found, None)
        assert source.snapshots == 1
        await source.close()

    asyncio.run(story())


def test_a_hash_that_is_not_of_bcrypt_is_refused(new_etcd: NewEtcd, monkeypatch: pytest.MonkeyPatch) -> None:
    user = authpb.User(name=b"alice", password=b"{plain}secret").SerializeToString()

    async def strange(*_: object) -> Auth:
        return Auth(AuthState(False, 3), {"alice": user})

    monkeypatch.setattr(auth, "_from_snapshot", strange)

    async def story() -> None:
        source = etcd_store(new_etcd().endpoint)
        await add_user(source, "alice")
        with pytest.raises(InvalidInput, match=r"'alice' has a password hash that is not of bcrypt.*--no-auth"):
            await AuthReader(source).read()
        await source.close()

    asyncio.run(story())


ROLE = authpb.Role(name=b"r", keyPermission=[authpb.Permission(key=b"/k")])


def users(**fields: object) -> dict[str, bytes]:
    user = authpb.User(name=b"alice", password=b"$2a$1", roles=["r"])
    for name, value in fields.items():
        setattr(user, name, value)
    return {"alice": user.SerializeToString()}


def differences() -> Iterator[tuple[Auth, list[AccountDifference]]]:
    roles = {"r": ROLE.SerializeToString()}
    yield Auth(AuthState(), users(), roles), []
    yield Auth(AuthState(False, 9), users(), roles), []
    yield Auth(AuthState(True), users(), roles), [AuthSwitch(False, True)]
    yield (
        Auth(AuthState(), users(password=b"$2a$2"), roles),
        [Account("user", "alice", Problem.DIFFERENT, ("password",))],
    )
    yield Auth(AuthState(), {}, roles), [Account("user", "alice", Problem.MISSING)]
    yield Auth(AuthState(), users() | {"bob": b""}, roles), [Account("user", "bob", Problem.EXTRA)]
    changed = authpb.Role(name=b"r").SerializeToString()
    yield Auth(AuthState(), users(), {"r": changed}), [Account("role", "r", Problem.DIFFERENT, ("permissions",))]


def test_what_differs_is_named() -> None:
    expected = Auth(AuthState(), users(), {"r": ROLE.SerializeToString()})
    for found, named in differences():
        assert list(compared(expected, found)) == named
    assert Auth.of(expected.records()) == expected
    assert expected.records().keys() == {USERS + b"alice", ROLES + b"r", STATE}
