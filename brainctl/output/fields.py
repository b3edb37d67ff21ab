"""-w fields: a line for each field, as etcdctl writes them."""

from collections.abc import Iterator
from functools import singledispatch

from brainctl.errors import Unsupported
from brainctl.etcdpb import auth_pb2 as authpb
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import (
    Answer,
    Done,
    EndpointHash,
    Endpoints,
    FileHash,
    FileStatus,
    Health,
    LeaseInfo,
    Style,
)
from brainctl.output.gotext import quote

_HEADER_ONLY = (
    pb.LeaseRevokeResponse,
    pb.AuthRoleAddResponse,
    pb.AuthRoleDeleteResponse,
    pb.AuthRoleGrantPermissionResponse,
    pb.AuthRoleRevokePermissionResponse,
    pb.AuthUserAddResponse,
    pb.AuthUserChangePasswordResponse,
    pb.AuthUserDeleteResponse,
    pb.AuthUserGrantRoleResponse,
    pb.AuthUserRevokeRoleResponse,
)
"""Responses of which etcdctl shows only the header."""


def render(answer: Answer, style: Style) -> bytes:
    """Return the lines of an answer.

    Raises:
        Unsupported: The answer has no such form.
    """
    return "".join(f"{line}\n" for line in _lines(answer, style)).encode()


@singledispatch
def _lines(answer: Answer, style: Style) -> Iterator[str]:
    del answer, style
    raise Unsupported("fields not supported as output format")


def _kv(prefix: str, kv: kv_pb2.KeyValue, style: Style) -> Iterator[str]:
    yield f'"{prefix}Key" : {quote(kv.key)}'
    yield f'"{prefix}CreateRevision" : {kv.create_revision}'
    yield f'"{prefix}ModRevision" : {kv.mod_revision}'
    yield f'"{prefix}Version" : {kv.version}'
    yield f'"{prefix}Value" : {quote(kv.value)}'
    yield f'"{prefix}Lease" : {_lease(kv.lease, style)}'


def _lease(lease: int, style: Style) -> str:
    return f"{lease:016x}" if style.hex else str(lease)


def _member(member: int, style: Style) -> str:
    return f"{member:x}" if style.hex else str(member)


def _header(header: pb.ResponseHeader, style: Style) -> Iterator[str]:
    yield f'"ClusterID" : {_member(header.cluster_id, style)}'
    yield f'"MemberID" : {_member(header.member_id, style)}'
    if header.revision > 0:
        yield f'"Revision" : {header.revision}'
    yield f'"RaftTerm" : {header.raft_term}'


def _truth(value: bool) -> str:
    return "true" if value else "false"


@_lines.register
def _(answer: pb.RangeResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    for kv in answer.kvs:
        yield from _kv("", kv, style)
    yield f'"More" : {_truth(answer.more)}'
    yield f'"Count" : {answer.count}'


@_lines.register
def _(answer: pb.PutResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    if answer.HasField("prev_kv"):
        yield from _kv("Prev", answer.prev_kv, style)


@_lines.register
def _(answer: pb.DeleteRangeResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    yield f'"Deleted" : {answer.deleted}'
    for kv in answer.prev_kvs:
        yield from _kv("Prev", kv, style)


@_lines.register
def _(answer: pb.TxnResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    yield f'"Succeeded" : {_truth(answer.succeeded)}'
    for op in answer.responses:
        field = op.WhichOneof("response")
        if field is not None:
            yield from _lines(getattr(op, field), style)


@_lines.register
def _(answer: pb.WatchResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    for event in answer.events:
        yield f'"Type" : {kv_pb2.Event.EventType.Name(event.type)}'
        if event.HasField("prev_kv"):
            yield from _kv("Prev", event.prev_kv, style)
        yield from _kv("", event.kv, style)


@_lines.register
def _(answer: pb.LeaseGrantResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    yield f'"ID" : {_lease(answer.ID, style)}'
    yield f'"TTL" : {answer.TTL}'


@_lines.register
def _(answer: Done, style: Style) -> Iterator[str]:
    if isinstance(answer.response, _HEADER_ONLY):
        yield from _header(answer.response.header, style)
    else:
        yield from _lines(answer.response, style)


@_lines.register
def _(answer: pb.AuthRoleGetResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    for permission in answer.perm:
        yield f'"PermType" :  {authpb.Permission.Type.Name(permission.permType)}'
        yield f'"Key" : {quote(permission.key)}'
        yield f'"RangeEnd" : {quote(permission.range_end)}'


@_lines.register
def _(answer: pb.AuthRoleListResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    yield '"Roles" :' + "".join(f" {quote(role.encode())}" for role in answer.roles)


@_lines.register
def _(answer: pb.LeaseKeepAliveResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    yield f'"ID" : {_lease(answer.ID, style)}'
    yield f'"TTL" : {answer.TTL}'


@_lines.register
def _(answer: LeaseInfo, style: Style) -> Iterator[str]:
    info = answer.response
    yield from _header(info.header, style)
    yield f'"ID" : {_lease(info.ID, style)}'
    yield f'"TTL" : {info.TTL}'
    yield f'"GrantedTTL" : {info.grantedTTL}'
    for key in info.keys:
        yield f'"Key" : {quote(key)}'


@_lines.register
def _(answer: pb.LeaseLeasesResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    for lease in answer.leases:
        yield f'"ID" : {_lease(lease.ID, style)}'


@_lines.register
def _(answer: pb.MemberListResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    for member in answer.members:
        yield f'"ID" : {_member(member.ID, style)}'
        yield f'"Name" : {quote(member.name.encode())}'
        for url in member.peerURLs:
            yield f'"PeerURL" : {quote(url.encode())}'
        for url in member.clientURLs:
            yield f'"ClientURL" : {quote(url.encode())}'
        yield f'"IsLearner" : {_truth(member.isLearner)}'
        yield ""


@_lines.register
def _(answer: pb.AlarmResponse, style: Style) -> Iterator[str]:
    yield from _header(answer.header, style)
    for alarm in answer.alarms:
        yield f'"MemberID" : {_member(alarm.memberID, style)}'
        yield f'"AlarmType" : {pb.AlarmType.Name(alarm.alarm)}'
        yield ""


@_lines.register
def _(answer: Endpoints, style: Style) -> Iterator[str]:
    for row in answer.rows:
        if isinstance(row, Health):
            yield f'"Endpoint" : {quote(row.endpoint.encode())}'
            yield f'"Health" : {_truth(row.healthy)}'
            yield f'"Took" : {row.took}'
            yield f'"Error" : {row.error}'
        elif isinstance(row, EndpointHash):
            yield from _header(row.response.header, style)
            yield f'"Endpoint" : {quote(row.endpoint.encode())}'
            yield f'"Hash" : {row.response.hash}'
            yield f'"HashRevision" : {row.response.hash_revision}'
        else:
            yield from _status(row.endpoint, row.response, style)
        yield ""


@_lines.register
def _(answer: FileStatus, style: Style) -> Iterator[str]:
    del style
    yield f'"Hash" : {answer.hash}'
    yield f'"Revision" : {answer.revision}'
    yield f'"Keys" : {answer.keys}'
    yield f'"Size" : {answer.size}'
    yield f'"Version" : {answer.version}'


@_lines.register
def _(answer: FileHash, style: Style) -> Iterator[str]:
    del style
    yield f'"Hash" : {answer.hash}'
    yield f'"Hash revision" : {answer.revision}'
    yield f'"Compact revision" : {answer.compact_revision}'


def _status(endpoint: str, status: pb.StatusResponse, style: Style) -> Iterator[str]:
    yield from _header(status.header, style)
    yield f'"Version" : {quote(status.version.encode())}'
    yield f'"StorageVersion" : {quote(status.storageVersion.encode())}'
    yield f'"DBSize" : {status.dbSize}'
    yield f'"DBSizeInUse" : {status.dbSizeInUse}'
    yield f'"DBSizeQuota" : {status.dbSizeQuota}'
    yield f'"Leader" : {status.leader}'
    yield f'"IsLearner" : {_truth(status.isLearner)}'
    yield f'"RaftIndex" : {status.raftIndex}'
    yield f'"RaftAppliedIndex" : {status.raftAppliedIndex}'
    yield f'"Errors" : [{" ".join(status.errors)}]'
    yield f'"Endpoint" : {quote(endpoint.encode())}'
    yield f'"DowngradeTargetVersion" : {quote(status.downgradeInfo.targetVersion.encode())}'
    yield f'"DowngradeEnabled" : {_truth(status.downgradeInfo.enabled)}'
