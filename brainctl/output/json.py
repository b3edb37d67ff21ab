"""-w json: etcdctl's objects and names, with every 64-bit number as a string unless numbers are requested.

A JSON reader that keeps numbers as doubles (jq, JavaScript) rounds ids and revisions above 2^53; strings are not
rounded. The rule is that of protobuf's own JSON mapping: int64 and uint64 are strings, narrower numbers and enums are
numbers, bytes are base64. Fields that are zero are left out, as etcdctl does.
"""

from base64 import b64encode
from functools import singledispatch

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

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

Json = str | int | bool | list["Json"] | dict[str, "Json"] | None

_WIDE = frozenset((FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64))
"""The types of fields whose numbers do not fit into a double."""
_MEMBERS = frozenset(("cluster_id", "member_id", "memberID", "leader", "ID"))
"""Fields that are ids; with --hex they are hexadecimal."""


def render(answer: Answer, style: Style) -> bytes:
    """Return one object on one line."""
    return orjson.dumps(_shape(answer, style)) + b"\n"


@singledispatch
def _shape(answer: Answer, style: Style) -> Json:
    assert isinstance(answer, Message)
    return _message(answer, style)


@_shape.register
def _(answer: Done, style: Style) -> Json:
    return _message(answer.response, style)


@_shape.register
def _(answer: LeaseInfo, style: Style) -> Json:
    info = answer.response
    keys: Json = [b64encode(key).decode() for key in info.keys] or None
    return {
        **_header(info, style),
        "id": _lease(info.ID, style),
        "ttl": _wide(info.TTL, style),
        "granted-ttl": _wide(info.grantedTTL, style),
        "keys": keys,
    }


@_shape.register
def _(answer: pb.LeaseGrantResponse, style: Style) -> Json:
    lease = _lease(answer.ID, style)
    return {**_header(answer, style), "ID": lease, "TTL": _wide(answer.TTL, style), "Error": answer.error}


@_shape.register
def _(answer: pb.LeaseKeepAliveResponse, style: Style) -> Json:
    return {**_header(answer, style), "ID": _lease(answer.ID, style), "TTL": _wide(answer.TTL, style)}


@_shape.register
def _(answer: pb.LeaseLeasesResponse, style: Style) -> Json:
    leases: Json = [{"id": _lease(lease.ID, style)} for lease in answer.leases]
    return {**_header(answer, style), "leases": leases}


@_shape.register
def _(answer: pb.WatchResponse, style: Style) -> Json:
    events: Json = [_message(event, style) for event in answer.events] or None
    return {
        "Header": _header(answer, style),
        "Events": events,
        "CompactRevision": _wide(answer.compact_revision, style),
        "Canceled": answer.canceled,
        "Created": answer.created,
        "CancelReason": answer.cancel_reason,
    }


@_shape.register
def _(answer: Endpoints, style: Style) -> Json:
    return [_row(row, style) for row in answer.rows] or None


@_shape.register
def _(answer: FileStatus, style: Style) -> Json:
    return {
        "hash": answer.hash,
        "revision": _wide(answer.revision, style),
        "totalKey": _wide(answer.keys, style),
        "totalSize": _wide(answer.size, style),
        "version": answer.version,
    }


@_shape.register
def _(answer: FileHash, style: Style) -> Json:
    return {
        "hash": answer.hash,
        "hashRevision": _wide(answer.revision, style),
        "compactRevision": _wide(answer.compact_revision, style),
    }


def _row(row: object, style: Style) -> Json:
    """Return the object of one endpoint."""
    if isinstance(row, Health):
        fields: dict[str, Json] = {"endpoint": row.endpoint, "health": row.healthy, "took": row.took}
        return {**fields, "error": row.error} if row.error else fields
    if isinstance(row, EndpointHash):
        return {"Endpoint": row.endpoint, "HashKV": _message(row.response, style)}
    assert isinstance(row, tuple)
    return {"Endpoint": row[0], "Status": _message(row[1], style)}


@_shape.register
def _(answer: pb.TxnResponse, style: Style) -> dict[str, Json]:
    fields: dict[str, Json] = {"header": _header(answer, style)} if answer.HasField("header") else {}
    if answer.succeeded:
        fields["succeeded"] = True
    if answer.responses:
        fields["responses"] = [{"Response": _operation(op, style)} for op in answer.responses]
    return fields


def _operation(op: pb.ResponseOp, style: Style) -> Json:
    field = op.WhichOneof("response")
    return {} if field is None else {field: _shape(getattr(op, field), style)}


def _header(answer: Message, style: Style) -> dict[str, Json]:
    header: pb.ResponseHeader = getattr(answer, "header")  # noqa: B009 - every response has one
    return _message(header, style)


def _message(message: Message, style: Style) -> dict[str, Json]:
    """Return the set fields of a message, in the order of the definition."""
    fields: dict[str, Json] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and not field.is_repeated:
            if message.HasField(field.name):
                fields[field.name] = _message(value, style)
        elif field.is_repeated:
            if value:
                fields[field.name] = [_value(field.name, field.type in _WIDE, item, style) for item in value]
        elif value:
            fields[field.name] = _value(field.name, field.type in _WIDE, value, style)
    return fields


def _value(name: str, wide: bool, value: object, style: Style) -> Json:
    """Return a scalar or message as JSON; `wide` says that it has 64 bits."""
    if isinstance(value, Message):
        return _message(value, style)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    assert isinstance(value, int | str | bool)
    if not wide:
        return value
    assert isinstance(value, int)
    if style.hex and name in _MEMBERS:
        return f"{value:x}"
    if style.hex and name == "lease":
        return f"{value:016x}"
    return _wide(value, style)


def _lease(lease: int, style: Style) -> Json:
    return f"{lease:016x}" if style.hex else _wide(lease, style)


def _wide(value: int, style: Style) -> Json:
    """Return a 64-bit number as a number or a string, as the style requires."""
    return value if style.numbers else str(value)
