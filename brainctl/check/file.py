"""Histories as JSON lines (docs/formats/history.md): reading and writing them one line at a time."""

from collections.abc import Iterable, Iterator
from typing import cast

import orjson

from brainctl.check.line import Header, KvFields, Line, Version
from brainctl.errors import InvalidInput

VERSION = 1
"""The version of the format."""
_TIMED = frozenset(("called", "client"))
REQUIRED: dict[str, frozenset[str]] = {
    "put": _TIMED | {"key", "value"},
    "range": _TIMED | {"key"},
    "delete": _TIMED | {"key"},
    "txn": _TIMED,
    "grant": _TIMED | {"id"},
    "keepalive": _TIMED | {"id"},
    "revoke": _TIMED | {"id"},
    "compact": _TIMED | {"revision"},
    "hash": frozenset(("endpoint", "at", "hash")),
    "watch": frozenset(("watch", "key")),
    "notify": frozenset(("watch", "rev")),
    "hold": frozenset(("client", "name", "since")),
    "open": frozenset(("since",)),
}
"""The fields that a line must have, by its operation."""
_ANSWERED = frozenset(("put", "range", "delete", "txn", "revoke"))


def read_header(first: bytes) -> Header:
    """Return the header that the first line of a history is.

    Raises:
        InvalidInput: It is none, or one of a later version.
    """
    try:
        header = orjson.loads(first)
    except orjson.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("brainctl_history"), int):
        raise InvalidInput('this is no history: its first line is no header {"brainctl_history":1,...}')
    if header["brainctl_history"] > VERSION:
        raise InvalidInput(f"this history has version {header['brainctl_history']}, this build reads up to {VERSION}")
    return cast("Header", header)


def read_lines(raw: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a history behind its header.

    Raises:
        InvalidInput: One is no JSON, or lacks a field; the text has its number.
    """
    loads, required = orjson.loads, REQUIRED
    for number, text in enumerate(raw, 2):
        try:
            line = loads(text)
            missing = required[line["op"]] - line.keys()
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            if not text.strip():
                continue
            raise InvalidInput(f"line {number} is no line of a history: {_start(text)}") from None
        if missing:
            raise InvalidInput(f"line {number} ({line['op']}) lacks {', '.join(sorted(missing))}")
        if line.get("returned") is not None and "error" not in line and "rev" not in line and line["op"] in _ANSWERED:
            raise InvalidInput(f"line {number} ({line['op']}) was answered and has no rev")
        yield line


def header_bytes(header: Header) -> bytes:
    """Return the first line of a history."""
    return orjson.dumps({**header, "brainctl_history": VERSION}) + b"\n"


def line_bytes(line: Line) -> bytes:
    """Return a line of a history."""
    return orjson.dumps(line) + b"\n"


def text_of(data: bytes) -> str:
    """Return the string that bytes are in a history: each character stands for the byte of the same number."""
    return data.decode("latin-1")


def bytes_of(text: str) -> bytes:
    """Return the bytes that a string of a history stands for."""
    return text.encode("latin-1")


def fields_of(version: Version) -> KvFields:
    """Return the six fields of a version."""
    return [*version]


def _start(text: bytes) -> str:
    return repr(text[:60].decode(errors="backslashreplace").rstrip("\n"))
