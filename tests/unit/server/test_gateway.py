"""The JSON gateway against a real etcd: the same requests to both, and the same answers."""

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import NamedTuple

import pytest

from brainctl.etcdpb import rpc_pb2, v3election_pb2, v3lock_pb2
from brainctl.server.gateway.handler import LARGE_BYTES
from brainctl.server.gateway.routes import ROUTES
from tests.peers.servers import Brainctl, Etcd
from tests.unit.server.gateway import Answer, b64, post, settled


class Pair(NamedTuple):
    etcd: str
    brainctl: str

    def same(self, path: str, body: object = None, *, lines: int | None = None, **headers: str) -> Answer:
        """Post to both; their answer, which is the same."""
        expected = post(self.etcd, path, body, lines=lines, **headers)
        found = post(self.brainctl, path, body, lines=lines, **headers)
        assert found[:2] == expected[:2], (found, expected)
        assert settled(found.documents) == settled(expected.documents)
        return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both have seen the same requests, so that their revisions agree."""
    with Etcd(tmp_path_factory.mktemp("etcd")) as etcd, Brainctl(tmp_path_factory.mktemp("brainctl")) as brainctl:
        yield Pair(etcd.endpoint, brainctl.endpoint)


def test_every_method_has_its_path_and_types() -> None:
    services = [
        service
        for module in (rpc_pb2, v3lock_pb2, v3election_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    ]
    methods = {
        f"/{method.containing_service.full_name}/{method.name}": method for s in services for method in s.methods
    }
    assert set(methods) - {route.method for route in ROUTES.values()} == {"/etcdserverpb.KV/RangeStream"}
    for route in ROUTES.values():
        method = methods[route.method]
        assert (route.request.DESCRIPTOR.full_name, route.response.DESCRIPTOR.full_name) == (
            method.input_type.full_name,
            method.output_type.full_name,
        )
        assert (route.many_requests, route.many_responses) == (method.client_streaming, method.server_streaming)


@pytest.mark.parametrize("path", sorted({*ROUTES} - {"/v3/watch", "/v3/lease/keepalive"}))
def test_every_path_is_one_of_etcd(pair: Pair, path: str) -> None:
    """Which a request that cannot be read tells; streams of etcd do not say so (their paths are in use below)."""
    for endpoint in pair:
        answer = post(endpoint, path, '{"nothing')
        assert (answer.status, answer.content_type) == (400, "application/json")
        [document] = answer.documents
        assert isinstance(document, dict)
        assert document["code"] == 3


@pytest.mark.parametrize("path", ["/v3/kv/rangestream", "/v3/kv/range/", "/v3/kv", "/v3/"])
def test_control_a_path_that_is_none(pair: Pair, path: str) -> None:
    assert pair.same(path).status == 404


KEY = {"key": b64("gateway/a")}
BAD = {
    "no key": {},
    "no base64": {"key": "gateway/!"},
    "half base64": {"key": "Zm9vY"},
    "padding too much": {"key": "Zm9v="},
    "key is a number": {"key": 5},
    "limit is text": {**KEY, "limit": "many"},
    "limit is too large": {**KEY, "limit": "9223372036854775808"},
    "a field twice": '{"key": "AA==", "key": "AQ=="}',
    "a field by both its names": '{"key": "AA==", "range_end": "AQ==", "rangeEnd": "AQ=="}',
    "a nested field twice": '{"key": "AA==", "limit": 1, "limit": 1}',
    "NaN in an unknown field": '{"key": "AA==", "x": NaN}',
    "infinity in an unknown field": '{"key": "AA==", "x": -Infinity}',
    "an enum that has no such number": {**KEY, "sort_order": 7},
    "an array": [],
    "a number": 7,
    "the future": {**KEY, "revision": "1000000"},
}
GOOD: dict[str, object] = {
    "empty answer": {"key": b64("gateway/none")},
    "camel case": {"key": b64("gateway"), "rangeEnd": b64("gatewaz"), "keysOnly": True},
    "enum by name": {"key": b64("gateway"), "range_end": b64("gatewaz"), "sort_order": "DESCEND"},
    "unknown enum": {**KEY, "sort_order": "SIDEWAYS"},
    "enum by number": {"key": b64("gateway"), "range_end": b64("gatewaz"), "sort_order": 2, "sort_target": "KEY"},
    "enum by the text of a number": {"key": b64("gateway"), "range_end": b64("gatewaz"), "sort_order": "2"},
    "an unknown field twice": '{"key": "AA==", "x": {"a": 1, "a": 2}, "x": 3}',
    "number for text": {**KEY, "limit": 5},
    "number as float": {**KEY, "limit": 5.0},
    "null is unset": {**KEY, "limit": None},
    "unknown field": {**KEY, "colour": {"of": "no matter"}},
    "bytes without padding": {"key": "Z2F0ZXdheQ"},
    "bytes of URLs": {"key": "__8="},
    "the first of two documents": '{"key": "AA=="} {"key": 5}',
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(pair: Pair, name: str) -> None:
    """With etcd's status and code; the text of what cannot be read is each reader's own."""
    expected, found = (post(endpoint, "/v3/kv/range", BAD[name]) for endpoint in pair)
    assert found[:2] == expected[:2]
    assert found.documents[0]["code"] == expected.documents[0]["code"]


@pytest.mark.parametrize("name", GOOD)
def test_what_is_read(pair: Pair, name: str) -> None:
    pair.same("/v3/kv/put", {**KEY, "value": b64("\xff1")})
    assert pair.same("/v3/kv/range", GOOD[name]).status == 200


@pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "application/octet-stream", "multipart/form-data", "x"])
def test_a_body_of_any_type_is_json(pair: Pair, kind: str) -> None:
    assert pair.same("/v3/kv/range", KEY, **{"Content-Type": kind}).status == 200


@pytest.mark.parametrize("host", ["etcd.default.svc.cluster.local", "upstream_of_nginx", "localhost"])
def test_a_host_of_any_name_is_served(pair: Pair, host: str) -> None:
    assert pair.same("/v3/kv/range", KEY, Host=host).status == 200


@pytest.mark.parametrize(("size", "status"), [(1_000_000, 200), (1_700_000, 400), (2_800_000, 429)])
def test_a_request_that_is_too_large(pair: Pair, size: int, status: int) -> None:
    answer = pair.same("/v3/kv/put", {**KEY, "value": b64("x" * size)})
    assert answer.status == status


PATHS = {
    "//v3/kv/range?a=b": "/v3/kv/range?a=b",
    "/v3//kv/./range": "/v3/kv/range",
    "/v3/kv/../kv/range/": "/v3/kv/range/",
    "/../../v3/kv/range": "/v3/kv/range",
    "//nothing.example/x": "/nothing.example/x",
    "//health": "/health",
    "//": "/",
    "/.": "/",
    "/v3": "/v3/",
    "/v3/kv/range/..a": None,
    "/debug": None,
}


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_not_clean_is_sent_to_the_one_that_is(pair: Pair, path: str, method: str) -> None:
    found = []
    for endpoint in pair:
        connection = HTTPConnection(endpoint, timeout=60)
        connection.request(method, path, "{}")
        answer = connection.getresponse()
        location = answer.getheader("Location")
        found.append((answer.status, location, answer.read() if location else b""))
        connection.close()
    assert found[0] == found[1]
    assert found[1][1] == PATHS[path]


def test_an_empty_body_is_an_empty_request(pair: Pair) -> None:
    assert pair.same("/v3/kv/range", "").status == 400
    assert pair.same("/v3/lease/leases", "").status == 200


def test_kv(pair: Pair) -> None:
    pair.same("/v3/kv/put", {"key": b64("kv/1"), "value": b64("one"), "prev_kv": True})
    pair.same("/v3/kv/put", {"key": b64("kv/1"), "value": b64("two"), "prev_kv": True})
    compare = {"key": b64("kv/1"), "target": "VALUE", "result": "EQUAL", "value": b64("two")}
    inner = {"success": [{"request_range": {"key": b64("kv/1")}}]}
    txn = {
        "compare": [compare],
        "success": [
            {"requestPut": {"key": b64("kv/2"), "value": b64("x")}},
            {"request_txn": inner},
            {"request_delete_range": {"key": b64("kv/1"), "prev_kv": True}},
        ],
    }
    assert pair.same("/v3/kv/txn", txn).status == 200
    assert pair.same("/v3/kv/txn", txn).status == 200  # the value is gone: nothing to do
    last = pair.same("/v3/kv/range", {"key": b64("kv/"), "range_end": b64("kv0")})
    revision = last.documents[0]["header"]["revision"]
    pair.same("/v3/maintenance/hashkv", {"revision": revision})
    pair.same("/v3/kv/deleterange", {"key": b64("kv/"), "range_end": b64("kv0"), "prev_kv": True})
    pair.same("/v3/kv/compaction", {"revision": revision, "physical": True})
    assert pair.same("/v3/kv/compaction", {"revision": revision}).status == 400
    assert pair.same("/v3/kv/range", {"key": b64("kv/1"), "revision": "1"}).status == 400


def test_leases(pair: Pair) -> None:
    assert pair.same("/v3/lease/grant", {"TTL": "3600", "ID": "77"}).status == 200
    assert pair.same("/v3/lease/grant", {"TTL": 3600, "ID": 77}).status == 400
    pair.same("/v3/kv/put", {"key": b64("leased"), "lease": "77"})
    assert pair.same("/v3/kv/put", {"key": b64("leased"), "lease": "78"}).status == 404
    pair.same("/v3/lease/leases")
    for endpoint in pair:  # the time that is left is not the same
        answer = post(endpoint, "/v3/kv/lease/timetolive", {"ID": "77", "keys": True})
        assert answer.documents[0]["keys"] == [b64("leased")]
    answer = pair.same("/v3/lease/keepalive", '{"ID": "77"} {"ID": "78"}')
    assert len(answer.documents) == 2
    assert pair.same("/v3/lease/revoke", {"ID": "77"}).status == 200
    assert pair.same("/v3/kv/lease/revoke", {"ID": "77"}).status == 404


def test_watch(pair: Pair) -> None:
    put = pair.same("/v3/kv/put", {"key": b64("watched"), "value": b64("1")})
    revision = put.documents[0]["header"]["revision"]
    pair.same("/v3/kv/deleterange", {"key": b64("watched")})
    create = {"create_request": {"key": b64("watched"), "start_revision": revision, "prev_kv": True}}
    answer = pair.same("/v3/watch", create, lines=2)
    assert "events" in answer.documents[1]["result"]
    two = '{"create_request": {"key": "AA==", "watch_id": 7}} {"cancel_request": {"watch_id": 7}}'
    assert len(pair.same("/v3/watch", two, lines=2).documents) == 2


def test_locks_and_elections(pair: Pair) -> None:
    assert pair.same("/v3/election/leader", {"name": b64("election")}).status == 500
    pair.same("/v3/lease/grant", {"TTL": 3600, "ID": 91})
    lock = pair.same("/v3/lock/lock", {"name": b64("lock"), "lease": "91"})
    pair.same("/v3/lock/unlock", {"key": lock.documents[0]["key"]})
    won = pair.same("/v3/election/campaign", {"name": b64("election"), "lease": "91", "value": b64("me")})
    pair.same("/v3/election/leader", {"name": b64("election")})
    pair.same("/v3/election/observe", {"name": b64("election")}, lines=1)
    leader = won.documents[0]["leader"]
    pair.same("/v3/election/proclaim", {"leader": leader, "value": b64("still me")})
    pair.same("/v3/election/resign", {"leader": leader})


def test_large_answers(pair: Pair) -> None:
    for number in range(3):
        pair.same("/v3/kv/put", {"key": b64(f"large/{number}"), "value": b64("x" * LARGE_BYTES)})
    answer = pair.same("/v3/kv/range", {"key": b64("large/"), "range_end": b64("large0")})
    assert len(answer.documents[0]["kvs"]) == 3


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_is_served(pair: Pair, method: str) -> None:
    found = [post(endpoint, "/v3/kv/range", KEY, method=method) for endpoint in pair]
    assert found[0] == found[1]
    assert found[0].status == 501


def test_the_old_prefix(pair: Pair) -> None:
    assert pair.same("/v3beta/kv/range", KEY).status == 200


def test_maintenance_and_members(pair: Pair) -> None:
    pair.same("/v3/maintenance/alarm", {"action": "GET"})
    for path, field in (("/v3/maintenance/status", "dbSize"), ("/v3/maintenance/hash", "hash")):
        for endpoint in pair:
            assert field in post(endpoint, path).documents[0]
    for endpoint in pair:
        [members] = post(endpoint, "/v3/cluster/member/list").documents
        assert len(members["members"]) == 1
        blob = post(endpoint, "/v3/maintenance/snapshot", lines=1).documents[0]
        assert blob["result"]["blob"]
    pair.same("/v3/cluster/member/promote", {"ID": "1"})


def test_authentication(pair: Pair) -> None:
    """The token stands in the field authorization; without it there is nothing to see."""
    pair.same("/v3/auth/user/add", {"name": "root", "password": "secret"})
    assert pair.same("/v3/auth/user/add", {"name": "root", "password": "secret"}).status == 400
    pair.same("/v3/auth/role/add", {"name": "root"})
    pair.same("/v3/auth/user/grant", {"user": "root", "role": "root"})
    pair.same("/v3/auth/role/add", {"name": "reader"})
    pair.same("/v3/auth/role/grant", {"name": "reader", "perm": {"permType": "READ", "key": b64("a")}})
    pair.same("/v3/auth/role/get", {"role": "reader"})
    assert pair.same("/v3/auth/enable").status == 200
    assert pair.same("/v3/auth/authenticate", {"name": "root", "password": "wrong"}).status == 400
    tokens = {}
    for endpoint in pair:
        answer = post(endpoint, "/v3/auth/authenticate", {"name": "root", "password": "secret"})
        tokens[endpoint] = answer.documents[0]["token"]
    assert pair.same("/v3/kv/range", KEY).status == 400
    assert pair.same("/v3/kv/range", KEY, authorization="made up").status == 401
    for name in ("authorization", "grpc_metadata_token", "grpc_metadata_authorization"):
        found = [post(endpoint, "/v3/auth/user/list", **{name: tokens[endpoint]}) for endpoint in pair]
        assert settled(found[0].documents) == settled(found[1].documents)
        assert found[1].status == 200
    for endpoint in pair:
        assert post(endpoint, "/v3/auth/disable", authorization=tokens[endpoint]).status == 200
    assert pair.same("/v3/auth/status").status == 200
