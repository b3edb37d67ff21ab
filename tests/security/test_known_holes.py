"""Holes that etcd had, each as a test that its fixed release passes too.

The reader may read the key foo, the writer may write it; nobody may do more.
"""

import asyncio
import logging
from pathlib import Path
from typing import NamedTuple

import pytest

from brainctl.errors import Code
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import permission
from brainctl.mvcc.permission import Check
from brainctl.node.access import passwords
from tests.peers.servers import Brainctl
from tests.support.rbac import AUTH, KV, LEASE, READ, WRITE, add_user, enable, grant, token_of
from tests.support.rpc import Api, InProcess, Refused, Remote

WATCH = "/etcdserverpb.Watch/Watch"


class Scene(NamedTuple):
    api: Api
    root: str
    reader: str
    writer: str


def populate(api: Api) -> Scene:
    root = enable(api)
    grant(api, "reads-foo", READ, b"foo", token=root)
    grant(api, "writes-foo", WRITE, b"foo", token=root)
    add_user(api, "reader", "readerpw", "reads-foo", token=root)
    add_user(api, "writer", "writerpw", "writes-foo", token=root)
    api.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(ID=9, TTL=10_000), root)
    api.call(KV + "Put", pb.PutRequest(key=b"foo", value=b"hidden"), root)
    api.call(KV + "Put", pb.PutRequest(key=b"secret", value=b"topsecret", lease=9), root)
    return Scene(api, root, token_of(api, "reader", "readerpw"), token_of(api, "writer", "writerpw"))


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return populate(api)


def assert_denied(api: Api, path: str, request: object, token: str) -> None:
    with pytest.raises(Refused) as refused:
        api.call(path, request, token)  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.text) == (Code.PERMISSION_DENIED, "etcdserver: permission denied")


def nested(operation: pb.RequestOp, depth: int, *, failure: bool) -> pb.TxnRequest:
    txn = pb.TxnRequest(failure=[operation]) if failure else pb.TxnRequest(success=[operation])
    for _ in range(depth):
        inner = pb.RequestOp(request_txn=txn)
        txn = pb.TxnRequest(failure=[inner]) if failure else pb.TxnRequest(success=[inner])
    return txn


OPERATIONS = {
    "range": pb.RequestOp(request_range=pb.RangeRequest(key=b"secret")),
    "open range": pb.RequestOp(request_range=pb.RangeRequest(key=b"foo", range_end=b"\0")),
    "put": pb.RequestOp(request_put=pb.PutRequest(key=b"secret")),
    "delete": pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"secret")),
    "open delete": pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"foo", range_end=b"\0")),
    "put that shows": pb.RequestOp(request_put=pb.PutRequest(key=b"foo", prev_kv=True)),
    "delete that shows": pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"foo", prev_kv=True)),
    "put on a lease": pb.RequestOp(request_put=pb.PutRequest(key=b"foo", lease=9)),
}


def test_cve_2026_33343_44283_every_operation_of_a_txn_is_checked(scene: Scene) -> None:
    for name, operation in OPERATIONS.items():
        user = scene.reader if "range" in name else scene.writer
        for depth in range(3):
            for failure in (False, True):
                assert_denied(scene.api, KV + "Txn", nested(operation, depth, failure=failure), user)
    compare = pb.TxnRequest(compare=[pb.Compare(key=b"secret", target=pb.Compare.VALUE, value=b"a")])
    assert_denied(scene.api, KV + "Txn", compare, scene.reader)
    assert_denied(scene.api, KV + "Txn", nested(pb.RequestOp(request_txn=compare), 1, failure=True), scene.reader)


def test_cve_2026_44283_what_a_user_may_do_works(scene: Scene) -> None:
    """The other half: the checks are not simply refusing everything."""
    read = nested(pb.RequestOp(request_range=pb.RangeRequest(key=b"foo")), 2, failure=False)
    assert b"hidden" in scene.api.call(KV + "Txn", read, scene.reader).SerializeToString()
    write = nested(pb.RequestOp(request_put=pb.PutRequest(key=b"foo", value=b"new")), 2, failure=False)
    scene.api.call(KV + "Txn", write, scene.writer)
    assert scene.api.call(KV + "Range", pb.RangeRequest(key=b"foo"), scene.reader).kvs[0].value == b"new"


def assert_watch_is_denied(scene: Scene, key: bytes, range_end: bytes) -> None:
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key, range_end=range_end, start_revision=1))
    (first,) = scene.api.stream(WATCH, [create], 1, scene.reader)
    assert first.canceled
    assert first.created
    assert first.watch_id == -1
    assert first.cancel_reason.endswith("permission denied")


@pytest.mark.parametrize(("key", "range_end"), [(b"foo", b"\0"), (b"foo", b"fop"), (b"", b"\0"), (b"secret", b"")])
def test_cve_2026_73499_a_watch_is_of_the_range_that_was_asked_for(scene: Scene, key: bytes, range_end: bytes) -> None:
    assert_watch_is_denied(scene, key, range_end)


def test_cve_2026_73499_control_normalising_too_late_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
        return key, key + b"\0" if range_end in {b"", b"\0"} else range_end

    node = InProcess()
    scene = populate(node)
    monkeypatch.setattr(permission, "bounds", late)
    with pytest.raises(AssertionError):
        assert_watch_is_denied(scene, b"foo", b"\0")
    node.close()


def test_cve_2026_33343_control_a_check_of_the_first_level_only_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Check._operation

    def shallow(self: Check, operation: pb.RequestOp, attached: permission.Attached) -> None:
        if not operation.HasField("request_txn"):
            checked(self, operation, attached)

    node = InProcess()
    scene = populate(node)
    monkeypatch.setattr(Check, "_operation", shallow)
    with pytest.raises(pytest.fail.Exception):
        test_cve_2026_33343_44283_every_operation_of_a_txn_is_checked(scene)
    node.close()


def test_a_watch_of_a_negative_revision_is_refused(scene: Scene) -> None:
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"foo", start_revision=-1))
    (first,) = scene.api.stream(WATCH, [create], 1, scene.reader)
    assert (first.canceled, first.watch_id) == (True, -1)
    assert "compacted" in first.cancel_reason


def test_cve_2023_32082_leases_do_not_tell_of_keys(scene: Scene) -> None:
    assert_denied(scene.api, LEASE + "LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=9, keys=True), scene.reader)
    assert_denied(scene.api, LEASE + "LeaseLeases", pb.LeaseLeasesRequest(), scene.reader)
    shown = scene.api.call(LEASE + "LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=9, keys=True), scene.root)
    assert list(shown.keys) == [b"secret"]


def test_a_lease_with_keys_of_others_cannot_be_revoked(scene: Scene) -> None:
    assert_denied(scene.api, LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(ID=9), scene.writer)
    assert scene.api.call(KV + "Range", pb.RangeRequest(key=b"secret"), scene.root).count == 1


@pytest.mark.parametrize("api", ["node"], indirect=True)  # etcd leaves the strength of passwords to its users
def test_cve_2020_15115_passwords_that_are_none_are_refused(scene: Scene) -> None:
    for password in ("", "x"):
        with pytest.raises(Refused) as refused:
            scene.api.call(AUTH + "UserAdd", pb.AuthUserAddRequest(name="weak", password=password), scene.root)
        assert refused.value.code is Code.INVALID_ARGUMENT
        change = pb.AuthUserChangePasswordRequest(name="reader", password=password)
        with pytest.raises(Refused):
            scene.api.call(AUTH + "UserChangePassword", change, scene.root)
    assert token_of(scene.api, "reader", "readerpw")


def test_cve_2021_28235_nothing_remembers_a_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    node = InProcess()
    scene = populate(node)
    with pytest.raises(Refused):
        token_of(node, "reader", "a wrong guess")
    with pytest.raises(Refused):
        node.call(KV + "Range", pb.RangeRequest(key=b"foo"), "MadeUpToken.1")
    records = repr(node.backend.records(b""))
    for secret in ("rootpw", "readerpw", "a wrong guess", "MadeUpToken", scene.root, scene.reader):
        assert secret not in caplog.text
        assert secret not in records
    assert "reader" in caplog.text, "the log says who"
    node.close()


def test_cve_2021_28235_nothing_on_the_disk_tells_a_password(tmp_path: Path) -> None:
    with Brainctl(tmp_path / "server") as server:
        remote = Remote(server.endpoint)
        scene = populate(remote)
        with pytest.raises(Refused):
            token_of(remote, "reader", "a wrong guess")
        remote.close()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"$2b$10$" in written, "the control: the hashes are there"
    for secret in ("rootpw", "readerpw", "a wrong guess", scene.root, scene.reader):
        assert secret.encode() not in written


def test_more_passwords_than_can_be_looked_at_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    node = InProcess()
    populate(node)

    async def flood() -> list[str]:
        answers: asyncio.Queue[object] = asyncio.Queue()
        guess = pb.AuthenticateRequest(name="root", password="guess").SerializeToString()
        for _ in range(5):
            node.node.call(AUTH + "Authenticate", guess, answers.put_nowait)
        return sorted([str(await answers.get()) for _ in range(5)])

    busy, wrong = "etcdserver: too many requests", "etcdserver: authentication failed, invalid user ID or password"
    assert node.loop.run_until_complete(flood()) == sorted([wrong] * 3 + [busy] * 2)
    node.close()


def test_cve_2018_16886_a_common_name_counts_only_where_it_was_verified() -> None:
    """What has no verified certificate, such as a gateway, hands in no common name; a token goes before it."""
    node = InProcess()
    scene = populate(node)
    get = pb.RangeRequest(key=b"foo")
    assert node.call(KV + "Range", get, common_name="reader").count == 1
    for token, name in ((None, None), (None, "stranger"), (None, ""), ("bad.1", "root"), (scene.writer, "root")):
        with pytest.raises(Refused):
            node.call(KV + "Range", get, token, name)
    node.close()
