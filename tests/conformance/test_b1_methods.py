"""B1: all RPCs are there, and what each answers to a request without fields is what etcd answers."""

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message_factory import GetMessageClass

from brainctl.errors import (
    AUTH_NOT_ENABLED,
    DOWNGRADE_VERSION_MALFORMED,
    EMPTY_KEY,
    LEASE_NOT_FOUND,
    MEMBER_NOT_FOUND,
    MEMBER_URLS_INVALID,
    ROLE_EMPTY,
    ROLE_NOT_FOUND,
    ROOT_USER_MISSING,
    USER_EMPTY,
    USER_NOT_FOUND,
    Code,
)
from brainctl.etcdpb import health_pb2
from brainctl.etcdpb import reflection_v1_pb2 as reflection
from brainctl.server.reflection import SERVICES
from tests.conformance.client import AUTH, CLUSTER, ELECTION, KV, LEASE, LOCK, MAINTENANCE, WATCH, Client
from tests.conformance.conftest import Own
from tests.peers.servers import Brainctl
from tests.support.rpc import METHODS, Refused

OK = (Code.OK, "")
NO_KEY = (Code.UNKNOWN, "etcdserver: key is not provided")
"""The lock and election services of etcd pass on texts of its client without their codes."""

EMPTY: dict[str, tuple[Code, str] | None] = {
    KV + "Range": EMPTY_KEY,
    KV + "RangeStream": EMPTY_KEY,
    KV + "Put": EMPTY_KEY,
    KV + "DeleteRange": EMPTY_KEY,
    KV + "Txn": OK,
    KV + "Compact": None,
    WATCH: None,
    LEASE + "LeaseGrant": OK,
    LEASE + "LeaseRevoke": LEASE_NOT_FOUND,
    LEASE + "LeaseKeepAlive": OK,
    LEASE + "LeaseTimeToLive": OK,
    LEASE + "LeaseLeases": OK,
    CLUSTER + "MemberAdd": MEMBER_URLS_INVALID,
    CLUSTER + "MemberRemove": MEMBER_NOT_FOUND,
    CLUSTER + "MemberUpdate": MEMBER_NOT_FOUND,
    CLUSTER + "MemberPromote": MEMBER_NOT_FOUND,
    CLUSTER + "MemberList": OK,
    MAINTENANCE + "Alarm": OK,
    MAINTENANCE + "Status": OK,
    MAINTENANCE + "Defragment": OK,
    MAINTENANCE + "Hash": OK,
    MAINTENANCE + "HashKV": OK,
    MAINTENANCE + "Snapshot": OK,
    MAINTENANCE + "MoveLeader": (Code.FAILED_PRECONDITION, "etcdserver: bad leader transferee"),
    MAINTENANCE + "Downgrade": DOWNGRADE_VERSION_MALFORMED,
    AUTH + "AuthEnable": ROOT_USER_MISSING,
    AUTH + "AuthDisable": OK,
    AUTH + "AuthStatus": OK,
    AUTH + "Authenticate": AUTH_NOT_ENABLED,
    AUTH + "UserAdd": USER_EMPTY,
    AUTH + "UserGet": USER_NOT_FOUND,
    AUTH + "UserList": OK,
    AUTH + "UserDelete": USER_NOT_FOUND,
    AUTH + "UserChangePassword": USER_NOT_FOUND,
    AUTH + "UserGrantRole": USER_NOT_FOUND,
    AUTH + "UserRevokeRole": USER_NOT_FOUND,
    AUTH + "RoleAdd": ROLE_EMPTY,
    AUTH + "RoleGet": ROLE_NOT_FOUND,
    AUTH + "RoleList": OK,
    AUTH + "RoleDelete": ROLE_NOT_FOUND,
    AUTH + "RoleGrantPermission": (Code.INVALID_ARGUMENT, "etcdserver: permission not given"),
    AUTH + "RoleRevokePermission": ROLE_NOT_FOUND,
    LOCK + "Lock": OK,
    LOCK + "Unlock": NO_KEY,
    ELECTION + "Campaign": None,
    ELECTION + "Proclaim": (Code.UNKNOWN, '"leader" field must be provided'),
    ELECTION + "Leader": OK,
    ELECTION + "Observe": None,
    ELECTION + "Resign": (Code.UNKNOWN, '"leader" field must be provided'),
}
"""By method; None where the server waits for more, and for a compaction of revision 0, which etcd allows once."""


def answer(server: Client, path: str) -> tuple[Code, str] | None:
    method = METHODS[path]
    request = GetMessageClass(method.input_type)()
    try:
        if method.client_streaming or method.server_streaming:
            server.stream(path, [request], 1)
        else:
            server.call(path, request)
    except Refused as refused:
        return refused.code, refused.text
    return OK


def test_b1_01_there_are_49_methods() -> None:
    assert len(METHODS) == 49
    assert set(EMPTY) == set(METHODS)


def test_b1_02_each_answers_an_empty_request_as_etcd_does(own: Own) -> None:
    fresh = own()
    wrong = {}
    for path, expected in EMPTY.items():
        if expected is not None and (found := answer(fresh, path)) != tuple(expected):
            wrong[path] = found
    assert not wrong


def asked(server: Client, **question: str) -> reflection.ServerReflectionResponse:
    service = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    stub = server._channel.stream_stream(
        service,
        reflection.ServerReflectionRequest.SerializeToString,
        reflection.ServerReflectionResponse.FromString,
    )
    (response,) = stub(iter([reflection.ServerReflectionRequest(**question)]), timeout=120)
    return response


def test_b1_03_reflection_shows_all_methods(server: Client) -> None:
    """brainctl's own: etcd has no reflection."""
    if not isinstance(server.server, Brainctl):
        return
    names = [service.name for service in asked(server, list_services="").list_services_response.service]
    assert names == SERVICES
    methods = set()
    for name in names:
        for file in asked(server, file_containing_symbol=name).file_descriptor_response.file_descriptor_proto:
            parsed = descriptor_pb2.FileDescriptorProto.FromString(file)
            for service in parsed.service:
                methods |= {f"/{parsed.package}.{service.name}/{method.name}" for method in service.method}
    assert {m for m in methods if not m.startswith(("/grpc.", "/brainctlpb."))} == set(METHODS)


def test_b1_04_the_server_says_that_it_is_healthy(server: Client) -> None:
    stub = server._channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    assert stub(health_pb2.HealthCheckRequest(), timeout=120).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as refusal:
        stub(health_pb2.HealthCheckRequest(service="none"), timeout=120)
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND


def test_b1_05_a_method_that_is_not_there_is_said_to_be_none(server: Client) -> None:
    call = server._channel.unary_unary("/etcdserverpb.KV/Nothing")
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"", timeout=120)
    text = "unknown method Nothing for service etcdserverpb.KV"
    assert (refusal.value.code(), refusal.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, text)
