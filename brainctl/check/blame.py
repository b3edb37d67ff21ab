"""From a contradiction to words: which operations it is between, and what kind it is."""

from collections.abc import Mapping, Sequence

from brainctl.check.anomaly import Anomaly, did, quoted, shown, told, who
from brainctl.check.leases import Leases
from brainctl.check.line import Answer, KvFields, Line, Request, Version
from brainctl.check.model import Expected, Outcome, same, versions
from brainctl.check.replay import Replay

Refused = Mapping[tuple[str, str], Line]


def conflict(line: Line, late: Line, leases: Leases) -> Anomaly:
    """Return the contradiction between `line` and `late`, which was called after it returned and comes before it."""
    revision = line.get("rev", 0)
    if late["op"] == "expiry":
        renewed = leases.get(late["id"]).renewed_by
        by = f"the renewal by {who(renewed)} gave it {late.get('ttl', 0)} s" if renewed else "it was alive"
        text = f"lease {late['id']:x} had ended before {told(line)}: {by}, which had not passed then"
        return Anomaly("lease-early", text, tuple(one for one in (renewed, line) if one), revision)
    if late.get("returned") is None:
        text = (
            f"{told(line)}, so its revision was made before {who(late)} called its {did(late)}, "
            "which alone can have made an earlier one"
        )
        return Anomaly("unexplained-revision", text, (line, late), revision)
    if late["op"] == "range":
        text = f"{who(late)} read revision {late['rev']} ({did(late)}) after {told(line)}"
        return Anomaly("stale-read", text, (line, late), revision)
    if line["op"] == "revoke":
        text = f"{who(late)} still found keys of lease {line['id']:x} ({did(late)}) after {who(line)} had revoked it"
        return Anomaly("lease-kept", text, (line, late), revision)
    text = f"{who(late)} got revision {late['rev']} for its {did(late)} after {told(line)}"
    return Anomaly("revision-went-back", text, (line, late), revision)


def behind(line: Line, known_by: Line | None, made_by: Line | None, *, repeated: bool) -> Anomaly:
    """Return the contradiction of an operation whose revision others had passed before it was called."""
    revision = line["rev"]
    if repeated and made_by is not None:
        text = f"{told(made_by)}, and {told(line)}: one revision for two writes"
        return Anomaly("revision-reused", text, (made_by, line), revision)
    if known_by is None or known_by["rev"] < revision:
        text = f"{told(line)}, a revision that was another's"
        return Anomaly("revision-reused", text, (line,), revision)
    kind = "stale-read" if line["op"] == "range" else "revision-went-back"
    if kind == "stale-read":
        text = f"{who(line)} read revision {revision} ({did(line)}) after {told(known_by)}"
    else:
        text = f"{who(line)} got revision {revision} for its {did(line)} after {told(known_by)}"
    return Anomaly(kind, text, (known_by, line), revision)


def from_the_future(line: Line) -> Anomaly:
    """Return the contradiction of a read of a revision that the same answer says is not there yet."""
    text = f"{who(line)} read revision {line.get('at', 0)} although the newest was {line['rev']}"
    return Anomaly("wrong-answer", text, (line,), line["rev"])


def unexplained(first: int, last: int) -> Anomaly:
    """Return the anomaly of revisions that nothing in the history can have made."""
    which = f"revision {first}" if first == last else f"revisions {first} to {last}"
    return Anomaly("unexplained-revision", f"no operation of the history can have made {which}", (), last)


def lease_kept(line: Line, keys: Sequence[str], replay: Replay, revision: int) -> Anomaly:
    """Return the anomaly of a revoke that was acknowledged and not done."""
    some = ", ".join(map(quoted, keys[:3]))
    text = f"{who(line)} had revoked lease {line['id']:x} by revision {line['rev']}, and its keys are there: {some}"
    found = replay.get(keys[0])
    put = replay.cause(found.mod) if found else None
    return Anomaly("lease-kept", text, tuple(one for one in (put, line) if one), revision)


def lease_late(lease: int, keys: Sequence[str], renewed: Line, seen: Line, revision: int) -> Anomaly:
    """Return the anomaly of a lease that outlived its time by far."""
    seconds = (seen["called"] - (renewed["returned"] or 0)) / 1e9
    text = (
        f"lease {lease:x} of {renewed.get('ttl', 0)} s still had {quoted(keys[0])} {seconds:.1f} s after its renewal "
        f"by {who(renewed)}, when {who(seen)} called its {did(seen)}"
    )
    return Anomaly("lease-late", text, (renewed, seen), revision)


def disagreement(line: Line, outcome: Outcome, revision: int, replay: Replay, refused: Refused) -> Anomaly:
    """Return how an answer differs from the right one, by the first difference."""
    if line["op"] != "txn":
        return _compared(line, line, line, outcome.answers[0], revision, replay, refused)
    if line.get("succeeded", False) != outcome.succeeded:
        text = f"{who(line)}'s {did(line)} at revision {revision} took the wrong branch: its compares " + (
            "hold" if outcome.succeeded else "do not hold"
        )
        return Anomaly("wrong-answer", text, (*_writers(line, revision, replay), line), revision)
    branch = line.get("success", ()) if outcome.succeeded else line.get("failure", ())
    for request, answer, expected in zip(branch, line.get("responses", ()), outcome.answers, strict=False):
        found = _compared(line, request, answer, expected, revision, replay, refused)
        if found.kind != "wrong-answer":
            return found
    return Anomaly("wrong-answer", f"{who(line)}'s {did(line)} has wrong answers", (line,), revision)


def _compared(
    line: Line,
    request: Request,
    answer: Answer | Line,
    expected: Expected,
    revision: int,
    replay: Replay,
    refused: Refused,
) -> Anomaly:
    """Return how one answer differs."""
    is_listed = "kvs" in answer or "prevs" in answer or request.get("prev_kv")
    right = {version.key: version for version in expected.kvs if is_listed}
    got = {version.key: version for version in versions(_listed(answer))}
    for key in sorted(right.keys() | got.keys()):
        if not same(got.get(key), right.get(key)):
            return _of_key(line, key, right.get(key), got.get(key), revision, replay, refused)
    if request["op"] == "delete":
        text = f"{who(line)}'s {did(line)} deleted {answer.get('deleted', 0)} keys, and there were {expected.number}"
    else:
        text = (
            f"{who(line)}'s {did(line)} counted {answer.get('count', 0)} keys at revision {revision}, "
            f"and there were {expected.number}"
        )
    return Anomaly("wrong-answer", text, (line,), revision)


def _listed(answer: Answer | Line) -> list[KvFields]:
    prev = answer.get("prev")
    return answer.get("kvs") or answer.get("prevs") or ([prev] if prev else [])


def _of_key(
    line: Line, key: str, right: Version | None, got: Version | None, revision: int, replay: Replay, refused: Refused
) -> Anomaly:
    """Return what is wrong with one key of an answer."""
    source = refused.get((key, got.value)) if got else None
    if got is not None and source is not None and (right is None or right.value != got.value):
        what = f"{quoted(key)}={quoted(got.value)}"
        text = f"{who(line)} read {what} at revision {revision}, which was refused to {who(source)}"
        return Anomaly("dirty-read", text, (source, line), revision)
    cause = replay.cause(right.mod if right else replay.deleted_at(key, revision))
    lines = (cause, line) if cause is not None and cause is not line else (line,)
    after = f" after {told(cause)}" if len(lines) > 1 and cause is not None and "client" in cause else ""
    if got is None:
        text = f"{who(line)} found no {quoted(key)} at revision {revision}{after}"
        return Anomaly("lost-write", text, lines, revision)
    found = f"{who(line)} found {quoted(key)} as {shown(got)} at revision {revision} instead of {shown(right)}{after}"
    if got.mod > revision:
        kind = "dirty-read"
    elif right is None or got.mod < right.mod:
        kind = "stale-read" if right is not None or cause is not None else "dirty-read"
    elif got.mod > right.mod:
        kind = "dirty-read"
    else:
        kind = "wrong-answer"
    return Anomaly(kind, found, lines, revision)


def _writers(line: Line, revision: int, replay: Replay) -> list[Line]:
    """Return the operations that made what a transaction compares."""
    found: list[Line] = []
    for compare in line.get("compare", ()):
        version = replay.version_at(compare["key"], revision - 1)
        cause = replay.cause(version.mod if version else replay.deleted_at(compare["key"], revision - 1))
        if cause is not None and cause not in found:
            found.append(cause)
    return found
