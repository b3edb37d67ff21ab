"""Describe contradictions to etcd's promises in words, with the few lines of the history that show each."""

from typing import NamedTuple

from brainctl.check.line import Line, Version

SHOWN_BYTES = 40
"""Bytes of a value that are shown."""

KINDS = {
    "stale-read": "a read is older than what was known before it was called",
    "lost-write": "an acknowledged write is missing",
    "dirty-read": "a read shows what nobody wrote, or what was refused",
    "wrong-answer": "an answer is not that of the revision that it names",
    "revision-reused": "two writes have the same revision",
    "revision-went-back": "a later call has an earlier revision",
    "unexplained-revision": "a revision that no operation can have made",
    "not-linearizable": "no order of the operations explains the answers",
    "lease-early": "a lease has ended before its time",
    "lease-late": "a lease has lived much longer than its time",
    "lease-kept": "keys of a revoked lease are still there",
    "watch-filter": "a watch delivered what it did not ask for",
    "watch-order": "a watch delivered events out of order",
    "watch-duplicate": "a watch delivered an event twice",
    "watch-split": "a watch delivered a revision in two parts",
    "watch-lost-event": "a watch left out an event",
    "watch-wrong-event": "a watch delivered an event that differs from the change",
    "watch-unknown-event": "a watch delivered an event that nobody caused",
    "watch-bookmark": "a watch delivered an event below a revision that it had reported as reached",
    "watch-prev-kv": "a watch delivered a wrong previous version",
    "watch-is-create": "a watch delivered an event with a wrong creation or version",
    "two-holders": "a lock or an election has two holders at one revision",
    "hash-differs": "members have different data at one revision",
}
"""Every kind of anomaly, and what it means."""


class Anomaly(NamedTuple):
    """One contradiction."""

    kind: str
    text: str
    """One sentence that names who did what."""
    lines: tuple[Line, ...]
    """The lines that contradict each other, in their order in time."""
    revision: int
    """The revision at which it was noticed."""


def who(line: Line) -> str:
    """Return the name of the client of a line."""
    return f"client {line['client']}" if "client" in line else f"watch {line.get('watch', '')}"


def did(line: Line) -> str:
    """Return in words what an operation was."""
    op, key = line["op"], line.get("key", "")
    if op == "put":
        return f"put {quoted(key)}={quoted(line.get('value', ''))}"
    if op in ("range", "delete"):
        kind = {"range": "read", "delete": "delete"}[op]
        return f"{kind} of {quoted(key)}" + (f" to {quoted(line['end'])}" if line.get("end") else "")
    if op == "txn":
        requests = (*line.get("success", ()), *line.get("failure", ()))
        return "transaction on " + ", ".join(dict.fromkeys(quoted(request["key"]) for request in requests))
    return f"{op} of lease {line.get('id', 0):x}"


def told(line: Line) -> str:
    """Return in words what a client was told, and what it had asked for."""
    return f"{who(line)} was told {line.get('rev', 0)} ({did(line)})"


def shown(version: Version | None) -> str:
    """Return a version in words."""
    if version is None:
        return "nothing"
    return f"{quoted(version.value)} (mod {version.mod}, create {version.create}, version {version.version}" + (
        f", lease {version.lease:x})" if version.lease else ")"
    )


def quoted(text: str) -> str:
    """Return a key or a value for people: bytes that are no text escaped, long ones cut."""
    cut = text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}..."
    return '"' + cut.encode("latin-1", "replace").decode(errors="backslashreplace").replace('"', '\\"') + '"'
