"""The report of etcd's robustness tests: per client a file operations.json and a file watch.json.

Both are JSON objects one after the other: an operation with Input, Output, Call and Return in nanoseconds, or a watch
with its Request and Responses. The store was empty at the beginning, and nobody else has written to it. Values of 20
bytes and more are hashes; of a key, the value and the mod revision are known, and the version in newer reports.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from brainctl.check.line import Compare, Header, KvFields, Line, Request
from brainctl.errors import InvalidInput

HEADER: Header = {"brainctl_history": 1, "revision": 1, "prefix": "", "exclusive": True, "workload": "robustness"}


def read_report(files: Iterable[tuple[int, str, bytes]]) -> list[Line]:
    """Return the lines of a whole report in the order in which operations returned.

    Args:
        files: The number of the client, the name of the file, and its bytes.

    Raises:
        InvalidInput: A line is not of this form.
    """
    found: list[tuple[int, Line]] = []
    watches = 0
    for client, name, data in files:
        try:
            for shaped in _objects(data.decode()):
                if name == "watch.json":
                    watches += 1
                    found += _watch(shaped, client, watches)
                else:
                    found += _operation(shaped)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InvalidInput(f"client-{client}/{name} is no report of etcd's tests: {reason}") from error
    return [line for _, line in sorted(found, key=lambda one: one[0])]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file, each in a line of its own or over several."""
    decode, place = json.JSONDecoder().raw_decode, 0
    while (begin := text.find("{", place)) >= 0:
        shaped, place = decode(text, begin)
        yield shaped


def _operation(shaped: dict[str, Any]) -> Iterator[tuple[int, Line]]:
    """Yield an operation with the time of its line; a defragmentation is none of ours."""
    asked, output, called = shaped["Input"], shaped["Output"], shaped["Call"]
    place: Line = {"client": shaped["ClientId"], "endpoint": 0, "called": called}
    request = _request(asked)
    if request is None:
        return
    if output.get("ClientError"):
        yield shaped["Return"], {**request, **place, "returned": shaped["Return"], "error": output["ClientError"]}
    elif output.get("Error") or output.get("Persisted") or output.get("PartialResponse"):
        yield called, {**request, **place, "returned": None, "reason": output.get("Error", "")}
    else:
        yield shaped["Return"], {**request, **place, "returned": shaped["Return"], **_answer(request, output)}


def _request(asked: dict[str, Any]) -> Line | None:
    kind = asked["Type"]
    if kind == "range":
        revision = asked["Range"].get("Revision", 0)
        line = _range(asked["Range"])
        return {**line, "at": revision, "serializable": True} if revision else line
    if kind == "txn":
        return _txn(asked["Txn"])
    if kind in ("leaseGrant", "leaseRevoke"):
        lease: int = asked["LeaseGrant" if kind == "leaseGrant" else "LeaseRevoke"]["LeaseID"]
        return {"op": "grant" if kind == "leaseGrant" else "revoke", "id": lease}
    return {"op": "compact", "revision": asked["Compact"]["Revision"]} if kind == "compact" else None


def _txn(asked: dict[str, Any]) -> Line:
    return {
        "op": "txn",
        "compare": [_compare(one) for one in asked.get("Conditions") or ()],
        "success": [_one(one) for one in asked.get("OperationsOnSuccess") or ()],
        "failure": [_one(one) for one in asked.get("OperationsOnFailure") or ()],
    }


def _compare(asked: dict[str, Any]) -> Compare:
    if asked.get("ExpectedVersion"):
        return {"key": _text(asked["Key"]), "target": "version", "relation": "=", "value": asked["ExpectedVersion"]}
    return {"key": _text(asked["Key"]), "target": "mod", "relation": "=", "value": asked["ExpectedRevision"]}


def _one(asked: dict[str, Any]) -> Request:
    if asked["Type"] == "put-operation":
        put = asked["Put"]
        return {"op": "put", "key": _text(put["Key"]), "value": _value(put["Value"]), "lease": put.get("LeaseID", 0)}
    if asked["Type"] == "delete-operation":
        return {"op": "delete", "key": _text(asked["Delete"]["Key"])}
    return _range(asked["Range"])


def _range(asked: dict[str, Any]) -> Line:
    key, end = _text(asked["Start"]) or "\0", _text(asked.get("End", ""))
    limit, keys_only = asked.get("Limit", 0), asked.get("KeysOnly", False)
    return {"op": "range", "key": key, "end": end, "limit": limit, "keys_only": keys_only}


def _answer(request: Line, output: dict[str, Any]) -> Line:
    revision = output.get("Revision", 0)
    if request["op"] == "range":
        found = output["Range"]
        rev = revision if revision > 0 else request["at"]
        return {"rev": rev, "kvs": [_kv(kv) for kv in found.get("KVs") or ()], "count": found["Count"]}
    if request["op"] != "txn":
        return {"rev": revision}
    done = output["Txn"]
    succeeded = not done.get("Failure", False)
    branch = request["success"] if succeeded else request["failure"]
    line: Line = {"rev": revision, "succeeded": succeeded, "responses": []}
    for one, result in zip(branch, done.get("Results") or (), strict=False):
        if one["op"] == "range":
            kvs = [_kv(kv) for kv in result.get("KVs") or ()]
            line["responses"].append({"kvs": kvs, "count": result["Count"]})
        else:
            line["responses"].append({"deleted": result["Deleted"]} if one["op"] == "delete" else {})
    return line


def _watch(shaped: dict[str, Any], client: int, number: int) -> Iterator[tuple[int, Line]]:
    """Yield the creation of a watch and its responses, each with its time."""
    asked, responses = shaped["Request"], shaped.get("Responses") or []
    key = _text(asked.get("Key", ""))
    end = _end(key) if asked.get("WithPrefix") else ""
    shown = (event["Revision"] for response in responses for event in response.get("Events") or ())
    start = asked.get("Revision") or next(shown, 0)
    if not start:
        return
    first = responses[0].get("Time", 0) if responses else 0
    line: Line = {"op": "watch", "watch": number, "client": client, "endpoint": 0, "key": key or "\0", "end": end}
    yield first, {**line, "start": start, "prev_kv": bool(asked.get("WithPrevKV"))}
    for response in responses:
        time: int = response.get("Time", 0)
        step: Line = {"op": "notify", "watch": number, "time": time, "rev": response.get("Revision", 0)}
        if response.get("Events"):
            step["events"] = [_event(event) for event in response["Events"]]
        step["progress"] = bool(response.get("IsProgressNotify"))
        yield time, step


def _event(event: dict[str, Any]) -> list[str | int | KvFields | None]:
    key, mod, before = _text(event["Key"]), event["Revision"], event.get("PrevValue")
    previous = None
    if before:
        previous = _partial(key, before["ModRevision"], before.get("Version"), before.get("Value") or {})
    if event["Type"] != "put-operation":
        return ["delete", [key, 0, mod, 0, "", 0], previous]
    fresh = bool(event.get("IsCreate"))
    version = _partial(key, mod, 1 if fresh else None, event.get("Value") or {})
    version[1] = mod if fresh else version[1]
    return ["put", version, previous]


def _kv(kv: dict[str, Any]) -> KvFields:
    return _partial(_text(kv["Key"]), kv["ModRevision"], kv.get("Version"), kv.get("Value") or {})


def _partial(key: str, mod: int, version: int | None, value: dict[str, Any]) -> KvFields:
    """Return a version of which not all is known."""
    return cast("KvFields", [key, None, mod, version or None, _value(value), None])


def _value(value: dict[str, Any]) -> str:
    """Return a value, or what stands for it: reports have but the hash of a long one."""
    return f"#{value['Hash']}" if value.get("Hash") else _text(value.get("Value", ""))


def _end(prefix: str) -> str:
    kept = prefix.rstrip("\xff")
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else "\0"


def _text(text: str) -> str:
    """Return a string of JSON as a history has it: its bytes."""
    return text.encode().decode("latin-1")
