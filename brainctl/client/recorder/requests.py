"""Operations of a history as requests to a store, and its answers as the fields of their lines."""

from collections.abc import Sequence

from brainctl.check.file import bytes_of, text_of
from brainctl.check.line import Answer, Compare, KvFields, Line, Request
from brainctl.etcdpb import kv_pb2
from brainctl.etcdpb import rpc_pb2 as pb
from brainctl.stores.store import Store

_TARGETS = {
    "mod": (pb.Compare.MOD, "mod_revision"),
    "create": (pb.Compare.CREATE, "create_revision"),
    "version": (pb.Compare.VERSION, "version"),
    "lease": (pb.Compare.LEASE, "lease"),
}
_RELATIONS = {"=": pb.Compare.EQUAL, "!=": pb.Compare.NOT_EQUAL, "<": pb.Compare.LESS, ">": pb.Compare.GREATER}


async def perform(store: Store, line: Line) -> Line:
    """Send the operation of a line, and return the fields of its answer.

    Raises:
        BrainctlError: It failed; UnknownOutcome says that it may have had its effect.
    """
    match line["op"]:
        case "put":
            put = await store.put(_put(line))
            return {"rev": put.header.revision, **_put_answer(line, put)}  # type: ignore[typeddict-item]
        case "range":
            found = await store.range(_range(line))
            return {"rev": found.header.revision, **_range_answer(found)}  # type: ignore[typeddict-item]
        case "delete":
            gone = await store.delete_range(_delete(line))
            return {"rev": gone.header.revision, **_delete_answer(line, gone)}  # type: ignore[typeddict-item]
        case "txn":
            return await _txn(store, line)
        case "compact":
            compacted = await store.compact(pb.CompactionRequest(revision=line["revision"]))
            return {"rev": compacted.header.revision}
    return await _lease(store, line)


async def _lease(store: Store, line: Line) -> Line:
    if line["op"] == "grant":
        granted = await store.lease_grant(pb.LeaseGrantRequest(ID=line["id"], TTL=line["ttl"]))
        return {"rev": granted.header.revision, "ttl": granted.TTL}
    if line["op"] == "revoke":
        return {"rev": (await store.lease_revoke(pb.LeaseRevokeRequest(ID=line["id"]))).header.revision}
    kept = await store.lease_keep_alive(line["id"])
    return {"rev": kept.header.revision, "ttl": kept.TTL}


async def _txn(store: Store, line: Line) -> Line:
    request = pb.TxnRequest(
        compare=[_compare(one) for one in line.get("compare", ())],
        success=[_operation(one) for one in line.get("success", ())],
        failure=[_operation(one) for one in line.get("failure", ())],
    )
    done = await store.txn(request)
    branch = line.get("success", []) if done.succeeded else line.get("failure", [])
    answers = [_answer(one, response) for one, response in zip(branch, done.responses, strict=True)]
    return {"rev": done.header.revision, "succeeded": done.succeeded, "responses": answers}


def _put(request: Request) -> pb.PutRequest:
    return pb.PutRequest(
        key=bytes_of(request["key"]),
        value=bytes_of(request["value"]),
        lease=request.get("lease", 0),
        prev_kv=request.get("prev_kv", False),
    )


def _range(request: Request) -> pb.RangeRequest:
    return pb.RangeRequest(
        key=bytes_of(request["key"]),
        range_end=bytes_of(request.get("end", "")),
        revision=request.get("at", 0),
        limit=request.get("limit", 0),
        serializable=request.get("serializable", False),
        keys_only=request.get("keys_only", False),
        count_only=request.get("count_only", False),
    )


def _delete(request: Request) -> pb.DeleteRangeRequest:
    key, end = bytes_of(request["key"]), bytes_of(request.get("end", ""))
    return pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=request.get("prev_kv", False))


def _operation(request: Request) -> pb.RequestOp:
    if request["op"] == "put":
        return pb.RequestOp(request_put=_put(request))
    if request["op"] == "delete":
        return pb.RequestOp(request_delete_range=_delete(request))
    return pb.RequestOp(request_range=_range(request))


def _compare(compare: Compare) -> pb.Compare:
    shaped = pb.Compare(key=bytes_of(compare["key"]), result=_RELATIONS[compare["relation"]])
    value = compare["value"]
    if isinstance(value, str):
        shaped.target, shaped.value = pb.Compare.VALUE, bytes_of(value)
    else:
        target, field = _TARGETS[compare["target"]]
        shaped.target = target
        setattr(shaped, field, value)
    return shaped


def _answer(request: Request, response: pb.ResponseOp) -> Answer:
    if request["op"] == "put":
        return _put_answer(request, response.response_put)
    if request["op"] == "delete":
        return _delete_answer(request, response.response_delete_range)
    return _range_answer(response.response_range)


def _put_answer(request: Request, response: pb.PutResponse) -> Answer:
    if not request.get("prev_kv"):
        return {}
    return {"prev": kv_fields(response.prev_kv) if response.HasField("prev_kv") else None}


def _range_answer(response: pb.RangeResponse) -> Answer:
    return {"kvs": _all(response.kvs), "count": response.count, "more": response.more}


def _delete_answer(request: Request, response: pb.DeleteRangeResponse) -> Answer:
    if not request.get("prev_kv"):
        return {"deleted": response.deleted}
    return {"deleted": response.deleted, "prevs": _all(response.prev_kvs)}


def _all(kvs: Sequence[kv_pb2.KeyValue]) -> list[KvFields]:
    return [kv_fields(kv) for kv in kvs]


def kv_fields(kv: kv_pb2.KeyValue) -> KvFields:
    """Return a key as the six fields of a history."""
    return [text_of(kv.key), kv.create_revision, kv.mod_revision, kv.version, text_of(kv.value), kv.lease]


def event_fields(event: kv_pb2.Event) -> list[str | int | KvFields | None]:
    """Return an event of a watch as a history has it."""
    kind = "delete" if event.type == kv_pb2.Event.DELETE else "put"
    return [kind, kv_fields(event.kv), kv_fields(event.prev_kv) if event.HasField("prev_kv") else None]
