"""The lines of a history: operations, watches and what they delivered, marks of the recorder.

Bytes of keys and values are strings in which each character stands for the byte of the same number, so that their order
is that of the bytes. Times are nanoseconds of one monotonic clock.
"""

from typing import NamedTuple, NotRequired, TypedDict

KvFields = list[str | int]
"""A key as the six fields of `Version`, in their order."""


class Version(NamedTuple):
    """A version of a key; `version` is 0 for a deletion, whose other fields but `key` and `mod` are empty."""

    key: str
    create: int
    mod: int
    version: int
    value: str
    lease: int


class Compare(TypedDict):
    """A condition of a transaction."""

    key: str
    target: str
    """create, mod, version, value or lease."""
    relation: str
    """=, !=, < or >."""
    value: str | int


class Answer(TypedDict, total=False):
    """The answer to an operation inside a transaction."""

    kvs: list[KvFields]
    count: int
    more: bool
    prev: KvFields | None
    prevs: list[KvFields]
    deleted: int


class Request(TypedDict, total=False):
    """Arguments of put, range, delete and txn; the other operations have a few of these fields."""

    op: str
    key: str
    end: str
    value: str
    lease: int
    prev_kv: bool
    at: int
    limit: int
    serializable: bool
    keys_only: bool
    count_only: bool
    compare: list[Compare]
    success: list["Request"]
    failure: list["Request"]


class Line(Request, total=False):
    """A line of a history; which fields it has depends on `op`."""

    client: int
    endpoint: int
    called: int
    returned: int | None
    error: str
    reason: str
    rev: int
    kvs: list[KvFields]
    count: int
    more: bool
    prev: KvFields | None
    prevs: list[KvFields]
    deleted: int
    succeeded: bool
    responses: list[Answer]
    revision: int
    id: int
    ttl: int
    hash: int
    compact: int
    watch: int
    start: int
    filters: list[str]
    progress: bool
    time: int
    created: bool
    canceled: bool
    lost: bool
    """Whether the stream has ended because the connection, or the server, was lost."""
    events: list[list[str | int | KvFields | None]]
    name: str
    until: int | None
    since: int


class Header(TypedDict, total=False):
    """The first line of a history."""

    brainctl_history: int
    prefix: str
    revision: int
    exclusive: bool
    endpoints: list[str]
    kvs: list[KvFields]
    workload: NotRequired[str]
    wanted: NotRequired[float]
    """The operations that were to be done, 0 when no number was given."""


class InvalidHistory(Exception):
    """A line contradicts the format, not etcd's promises; the text says which."""


KEYED = frozenset(("put", "range", "delete", "txn"))
"""The operations with an exact revision in their answer."""


def version_of(fields: KvFields) -> Version:
    """Return the version that six fields of a line are."""
    # tuple.__new__ takes 0.26 us, Version(*fields) 0.37: a history has several versions in each operation.
    return tuple.__new__(Version, fields)


def is_write(line: Line) -> bool:
    """Return whether an acknowledged operation has made a revision."""
    op = line["op"]
    if op == "put":
        return True
    if op == "delete":
        return line.get("deleted", 0) > 0
    if op != "txn":
        return False
    branch = line.get("success", []) if line.get("succeeded") else line.get("failure", [])
    return any(
        request["op"] == "put" or (request["op"] == "delete" and answer.get("deleted", 0) > 0)
        for request, answer in zip(branch, line.get("responses", []), strict=False)
    )


def may_write(line: Line) -> bool:
    """Return whether an operation of unknown outcome may have changed a key."""
    if line["op"] == "txn":
        return any(request["op"] != "range" for request in (*line.get("success", ()), *line.get("failure", ())))
    return line["op"] in ("put", "delete", "revoke")
