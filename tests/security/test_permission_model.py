"""Random permissions and random requests, against the oracle: in brainctl's checks, in its server, and in etcd's."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from brainctl.errors import ApiError
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.mvcc import permission
from brainctl.mvcc.auth import is_grantable
from brainctl.mvcc.permission import AuthState, Check, Identity, Rights
from tests.security.oracle import READ, Grant, allowed, is_empty, txn_needs
from tests.support.rbac import KV, add_user, admin, enable, grant, token_of
from tests.support.rpc import Api, InProcess, Refused

KEYS = st.sampled_from([b"\0", b"a", b"a\0", b"ab", b"b", b"b\xff", b"c", b"\xff", b"\xff\xff"])
ENDS = st.one_of(st.just(b""), st.just(b"\0"), KEYS)
GRANTS = st.lists(st.tuples(st.integers(0, 2), KEYS, ENDS).filter(lambda one: is_grantable(one[1], one[2])), max_size=5)
RANGES = st.builds(lambda key, end: pb.RequestOp(request_range=pb.RangeRequest(key=key, range_end=end)), KEYS, ENDS)
PUTS = st.builds(lambda key, show: pb.RequestOp(request_put=pb.PutRequest(key=key, prev_kv=show)), KEYS, st.booleans())
DELETES = st.builds(
    lambda key, end, show: pb.RequestOp(
        request_delete_range=pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=show)
    ),
    KEYS,
    ENDS,
    st.booleans(),
)
COMPARES = st.builds(lambda key, end: pb.Compare(key=key, range_end=end), KEYS, ENDS)


def txns(operations: st.SearchStrategy[pb.RequestOp]) -> st.SearchStrategy[pb.TxnRequest]:
    # One operation in each branch: several could be refused as overlapping before anyone asks for permission.
    few = st.lists(operations, max_size=1)
    return st.builds(
        lambda compare, success, failure: pb.TxnRequest(compare=compare, success=success, failure=failure),
        st.lists(COMPARES, max_size=1),
        few,
        few,
    )


OPERATIONS = st.recursive(
    st.one_of(RANGES, PUTS, DELETES),
    lambda inner: st.builds(lambda txn: pb.RequestOp(request_txn=txn), txns(inner)),
    max_leaves=4,
)
TXNS = txns(OPERATIONS)


def check_of(grants: list[Grant]) -> Check:
    permissions = [authpb.Permission(permType=kind, key=key, range_end=end) for kind, key, end in grants]
    role = authpb.Role(name=b"role", keyPermission=permissions)
    user = authpb.User(name=b"user", roles=["role"])
    return Check(AuthState(True, 5), Identity("user", 5), Rights(user, [role]))


def passes(grants: list[Grant], txn: pb.TxnRequest) -> bool:
    try:
        check_of(grants).txn(txn, lambda _: ())
    except ApiError:
        return False
    return True


def reading(key: bytes, end: bytes) -> pb.TxnRequest:
    return pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=key, range_end=end))])


@given(GRANTS, TXNS)
@example([(READ, b"a", b"")], reading(b"a", b"\0"))
@example([(READ, b"a", b"b"), (READ, b"b", b"c")], reading(b"a", b"c"))
@settings(max_examples=200, deadline=None)
def test_the_checks_agree_with_the_oracle(grants: list[Grant], txn: pb.TxnRequest) -> None:
    assert passes(grants, txn) == all(allowed(grants, need) for need in txn_needs(txn))


def test_control_a_check_that_normalises_too_late_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
        return key, key + b"\0" if range_end in {b"", b"\0"} else range_end

    monkeypatch.setattr(permission, "bounds", late)
    with pytest.raises(AssertionError):
        test_the_checks_agree_with_the_oracle()


def test_control_ranges_that_are_not_joined_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    def unjoined(self: permission.Intervals, start: bytes, end: bytes | None) -> bool:
        pairs = zip(self._starts, self._ends, strict=True)
        return any(low <= start and (high is None or (end is not None and end <= high)) for low, high in pairs)

    def keep(self: permission.Intervals, ranges: list[tuple[bytes, bytes | None]]) -> None:
        ordered = sorted(ranges, key=lambda one: one[0])
        self._starts, self._ends = [one[0] for one in ordered], [one[1] for one in ordered]

    monkeypatch.setattr(permission.Intervals, "__init__", keep)
    monkeypatch.setattr(permission.Intervals, "cover", unjoined)
    with pytest.raises(AssertionError):
        test_the_checks_agree_with_the_oracle()


# -- the same through a server ----------------------------------------------------------------------------------------


class Scene:
    """A user with one role, whose permissions change with every example."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.root = enable(api)
        admin(api, "RoleAdd", pb.AuthRoleAddRequest(name="role"), self.root)
        add_user(api, "user", "userpw", "role", token=self.root)
        self.token = token_of(api, "user", "userpw")

    def set(self, grants: list[Grant]) -> list[Grant]:
        """Grant these and no others; what the role holds then, the last grant of a range being the one that counts."""
        held = admin(self.api, "RoleGet", pb.AuthRoleGetRequest(role="role"), self.root)
        for one in held.perm:  # type: ignore[attr-defined]
            request = pb.AuthRoleRevokePermissionRequest(role="role", key=one.key, range_end=one.range_end)
            admin(self.api, "RoleRevokePermission", request, self.root)
        final = {(key, end): kind for kind, key, end in grants}
        for (key, end), kind in final.items():
            grant(self.api, "role", kind, key, end, token=self.root)
        return [(kind, key, end) for (key, end), kind in final.items()]

    def passes(self, txn: pb.TxnRequest) -> bool:
        try:
            self.api.call(KV + "Txn", txn, self.token)
        except Refused as refused:
            if refused.text.endswith("permission denied"):
                return False
            raise
        return True


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return Scene(api)


@given(GRANTS, st.lists(TXNS, min_size=1, max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_server_agrees_with_the_oracle(scene: Scene, grants: list[Grant], txns: list[pb.TxnRequest]) -> None:
    held = scene.set(grants)
    for txn in txns:
        if any(map(is_empty, txn_needs(txn))):
            continue
        assert scene.passes(txn) == all(allowed(held, need) for need in txn_needs(txn))


def test_the_last_of_two_grants_on_a_range_counts() -> None:
    """Also when there are other permissions on the same key; etcd keeps the first beside it and takes both."""
    node = InProcess()
    scene = Scene(node)
    for kind, end in ((2, b"b"), (2, b"c"), (0, b"c")):
        grant(node, "role", kind, b"a", end, token=scene.root)
    held = admin(node, "RoleGet", pb.AuthRoleGetRequest(role="role"), scene.root)
    assert [(one.range_end, one.permType) for one in held.perm] == [(b"b", 2), (b"c", 0)]  # type: ignore[attr-defined]
    node.close()
