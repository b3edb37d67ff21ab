"""-w simple: etcdctl's plain text, byte for byte."""

from functools import singledispatch

from brainctl.errors import Unsupported
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.output.answers import Answer, Done, Endpoints, FileHash, FileStatus, Health, LeaseInfo, Style
from brainctl.output.rows import columns


@singledispatch
def render(answer: Answer, style: Style) -> bytes:
    """Return the text of an answer, each line with its newline.

    Raises:
        Unsupported: The answer has no such form.
    """
    del style
    raise Unsupported(f"{type(answer).__name__} not supported by the simple output format")


def _kv(kv: kv_pb2.KeyValue, style: Style) -> bytes:
    key, value = kv.key, kv.value
    if style.hex:
        key, value = _hex(key), _hex(value)
    return value + b"\n" if style.value_only else b"%b\n%b\n" % (key, value)


def _hex(data: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in data)


@render.register
def _(answer: pb.RangeResponse, style: Style) -> bytes:
    return b"".join([_kv(kv, style) for kv in answer.kvs])


@render.register
def _(answer: pb.PutResponse, style: Style) -> bytes:
    return b"OK\n" + (_kv(answer.prev_kv, style) if answer.HasField("prev_kv") else b"")


@render.register
def _(answer: pb.DeleteRangeResponse, style: Style) -> bytes:
    return b"%d\n" % answer.deleted + b"".join([_kv(kv, style) for kv in answer.prev_kvs])


@render.register
def _(answer: pb.TxnResponse, style: Style) -> bytes:
    parts = [b"SUCCESS\n" if answer.succeeded else b"FAILURE\n"]
    for op in answer.responses:
        parts.append(b"\n")
        match op.WhichOneof("response"):
            case "response_range":
                parts.append(render(op.response_range, style))
            case "response_put":
                parts.append(render(op.response_put, style))
            case "response_delete_range":
                parts.append(render(op.response_delete_range, style))
            case "response_txn":
                parts.append(render(op.response_txn, style))
    return b"".join(parts)


@render.register
def _(answer: pb.WatchResponse, style: Style) -> bytes:
    parts = []
    for event in answer.events:
        parts.append(b"DELETE\n" if event.type == kv_pb2.Event.DELETE else b"PUT\n")
        if event.HasField("prev_kv"):
            parts.append(_kv(event.prev_kv, style))
        parts.append(_kv(event.kv, style))
    return b"".join(parts)


@render.register
def _(answer: pb.LeaseGrantResponse, style: Style) -> bytes:
    del style
    return b"lease %016x granted with TTL(%ds)\n" % (answer.ID, answer.TTL)


@render.register
def _(answer: Done, style: Style) -> bytes:
    del style
    return answer.text


@render.register
def _(answer: pb.AuthUserListResponse, style: Style) -> bytes:
    del style
    return "".join(f"{user}\n" for user in answer.users).encode()


@render.register
def _(answer: pb.AuthRoleListResponse, style: Style) -> bytes:
    del style
    return "".join(f"{role}\n" for role in answer.roles).encode()


@render.register
def _(answer: pb.AuthStatusResponse, style: Style) -> bytes:
    del style
    enabled = "true" if answer.enabled else "false"
    return f"Authentication Status: {enabled}\nAuthRevision: {answer.authRevision}\n".encode()


@render.register
def _(answer: pb.LeaseKeepAliveResponse, style: Style) -> bytes:
    del style
    return b"lease %016x keepalived with TTL(%d)\n" % (answer.ID, answer.TTL)


@render.register
def _(answer: LeaseInfo, style: Style) -> bytes:
    del style
    info = answer.response
    if info.grantedTTL == 0 and info.TTL == -1:
        return b"lease %016x already expired\n" % info.ID
    text = b"lease %016x granted with TTL(%ds), remaining(%ds)" % (info.ID, info.grantedTTL, info.TTL)
    if answer.keys:
        text += b", attached keys([%b])" % b" ".join(info.keys)
    return text + b"\n"


@render.register
def _(answer: pb.LeaseLeasesResponse, style: Style) -> bytes:
    del style
    return b"found %d leases\n" % len(answer.leases) + b"".join(b"%016x\n" % lease.ID for lease in answer.leases)


@render.register
def _(answer: pb.AlarmResponse, style: Style) -> bytes:
    del style
    names = pb.AlarmType
    lines = [f"memberID:{alarm.memberID} alarm:{names.Name(alarm.alarm)}\n" for alarm in answer.alarms]
    return "".join(lines).encode()


@render.register
def _(answer: pb.MemberListResponse, style: Style) -> bytes:
    del style
    return _lines(answer)


@render.register
def _(answer: Endpoints, style: Style) -> bytes:
    del style
    if not any(isinstance(row, Health) for row in answer.rows):
        return _lines(answer)
    text = "".join(
        f"{row.endpoint} is healthy: successfully committed proposal: took = {row.took}\n"
        for row in answer.rows
        if isinstance(row, Health) and not row.error
    )
    return text.encode()


@render.register
def _(answer: FileStatus, style: Style) -> bytes:
    del style
    return _lines(answer)


@render.register
def _(answer: FileHash, style: Style) -> bytes:
    del style
    return _lines(answer)


def unhealthy(row: Health) -> str:
    """Return the line on standard error for an endpoint that is not healthy."""
    return f"{row.endpoint} is unhealthy: failed to commit proposal: {row.error}"


def _lines(answer: pb.MemberListResponse | Endpoints | FileStatus | FileHash) -> bytes:
    _, rows = columns(answer)
    return "".join(", ".join(row) + "\n" for row in rows).encode()
