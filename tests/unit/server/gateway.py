"""A client of the JSON gateway that knows nothing of protobuf, and the pair of servers it compares."""

import base64
import http.client
import json
from contextlib import closing
from typing import Any, NamedTuple

VARYING = ("cluster_id", "member_id", "leader", "raft_index", "raftAppliedIndex", "raftIndex", "dbSize", "dbSizeInUse")
"""Fields whose values two servers with the same history need not share."""


class Answer(NamedTuple):
    status: int
    content_type: str | None
    documents: list[Any]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def post(
    endpoint: str, path: str, body: Any = None, *, lines: int | None = None, method: str = "POST", **headers: str
) -> Answer:
    """What a POST of a JSON document, or of text as it is, gives; of a stream without an end, the first `lines`."""
    text = body if isinstance(body, str) else json.dumps(body if body is not None else {})
    with closing(http.client.HTTPConnection(endpoint, timeout=120)) as connection:
        connection.request(method, path, text, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        found = response.readlines() if lines is None else [response.readline() for _ in range(lines)]
        kind = response.getheader("Content-Type")
        documents = [
            json.loads(line) if kind == "application/json" else line.decode() for line in found if line.strip()
        ]
        return Answer(response.status, kind, documents)


def settled(document: object) -> object:
    """A document without what varies."""
    if isinstance(document, dict):
        return {name: "varies" if name in VARYING else settled(value) for name, value in document.items()}
    if isinstance(document, list):
        return [settled(item) for item in document]
    return document
