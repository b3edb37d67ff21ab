"""Model the effect of etcd's operations on the keys, and their answers: one revision at a time, without side effects.

Written from the documentation of etcd's API, on purpose without the modules that brainctl serves with.
"""

from collections.abc import Callable, Sequence
from operator import eq, gt, lt, ne
from typing import NamedTuple, Protocol

from brainctl.check.line import Answer, Compare, KvFields, Line, Request, Version, version_of

RELATIONS: dict[str, Callable[[str | int, str | int], bool]] = {"=": eq, "!=": ne, "<": lt, ">": gt}


class View(Protocol):
    """The keys at one revision."""

    def get(self, key: str) -> Version | None:
        """Return the version of a key, None when there is no such key."""

    def span(self, key: str, end: str) -> list[Version]:
        """Return the keys from `key` to before `end` in order; all from `key` on when `end` is a zero byte."""


class Expected(NamedTuple):
    """The right answer to one put, range or delete."""

    kvs: Sequence[Version] = ()
    """The keys found, or those that were there before."""
    number: int = 0
    """Number of keys that there are, or that were deleted."""
    more: bool = False


class Outcome(NamedTuple):
    """The effect of an operation, and its right answers: one for each operation of a transaction, else a single one."""

    changes: Sequence[Version]
    answers: Sequence[Expected]
    succeeded: bool = True


class Draft:
    """A view with the changes of an unfinished transaction above it."""

    def __init__(self, below: View) -> None:
        self._below = below
        self.changes: dict[str, Version] = {}

    def get(self, key: str) -> Version | None:
        """See `View.get`."""
        changed = self.changes.get(key)
        if changed is None:
            return self._below.get(key)
        return changed if changed.version else None

    def span(self, key: str, end: str) -> list[Version]:
        """See `View.span`."""
        found = {version.key: version for version in self._below.span(key, end)}
        found.update((name, new) for name, new in self.changes.items() if covers(key, end, name))
        return [found[name] for name in sorted(found) if found[name].version]


def covers(key: str, end: str, name: str) -> bool:
    """Return whether a range has the key `name`."""
    if not end:
        return name == key
    return name >= key and (end == "\0" or name < end)


def tombstone(key: str, revision: int) -> Version:
    """Return the version that a deletion makes."""
    return Version(key, 0, revision, 0, "", 0)


def evaluate(request: Request, view: View, revision: int) -> Outcome:
    """Return what an operation does as revision `revision`, on the keys of `view`."""
    draft = Draft(view)
    if request["op"] != "txn":
        answers = [_one(request, draft, revision)]
        return Outcome([*draft.changes.values()], answers)
    succeeded = all(_holds(compare, view) for compare in request.get("compare", ()))
    branch = request.get("success", ()) if succeeded else request.get("failure", ())
    answers = [_one(each, draft, revision) for each in branch]
    return Outcome([*draft.changes.values()], answers, succeeded)


def _one(request: Request, draft: Draft, revision: int) -> Expected:
    key, end = request["key"], request.get("end", "")
    if request["op"] == "range":
        return read(request, draft)
    if request["op"] == "delete":
        gone = draft.span(key, end) if end else [old for old in (draft.get(key),) if old]
        draft.changes.update((old.key, tombstone(old.key, revision)) for old in gone)
        return Expected(gone, len(gone))
    old = draft.get(key)
    create, version = (old.create, old.version + 1) if old else (revision, 1)
    draft.changes[key] = Version(key, create, revision, version, request.get("value", ""), request.get("lease", 0))
    return Expected([old] if old else [])


def read(request: Request, view: View) -> Expected:
    """Return the right answer to a range on the keys of `view`."""
    end = request.get("end", "")
    found = view.span(request["key"], end) if end else [kv for kv in (view.get(request["key"]),) if kv]
    count, limit = len(found), request.get("limit", 0)
    more = 0 < limit < count
    if more:
        found = found[:limit]
    if request.get("count_only"):
        return Expected((), count)
    if request.get("keys_only"):
        found = [kv._replace(value="") for kv in found]
    return Expected(found, count, more)


def _holds(compare: Compare, view: View) -> bool:
    found = view.get(compare["key"])
    target = compare["target"]
    if target == "value":
        return found is not None and RELATIONS[compare["relation"]](found.value, compare["value"])
    fields = found or Version(compare["key"], 0, 0, 0, "", 0)
    value: int = getattr(fields, target)
    return RELATIONS[compare["relation"]](value, compare["value"])


def agrees(line: Line, outcome: Outcome) -> bool:
    """Return whether an acknowledged operation has answered what it must."""
    if line["op"] != "txn":
        return _answer_agrees(line, line, outcome.answers[0])
    if line.get("succeeded", False) != outcome.succeeded:
        return False
    branch = line.get("success", ()) if outcome.succeeded else line.get("failure", ())
    answers = line.get("responses", ())
    return len(answers) == len(branch) and all(map(_answer_agrees, branch, answers, outcome.answers))


def _answer_agrees(request: Request, answer: Answer | Line, expected: Expected) -> bool:
    """Compare one answer; what a history does not tell (a count, versions before) is not compared."""
    right = list(expected.kvs)
    if request["op"] == "range":
        counted = answer.get("count", expected.number) == expected.number
        whole = answer.get("more", expected.more) == expected.more
        return counted and whole and ("kvs" not in answer or alike(versions(answer["kvs"]), right))
    if request["op"] == "delete":
        counted = answer.get("deleted", 0) == expected.number
        return counted and ("prevs" not in answer or alike(versions(answer["prevs"]), right))
    prev = answer.get("prev")
    return not request.get("prev_kv") or alike([version_of(prev)] if prev else [], right)


def alike(got: Sequence[Version], right: Sequence[Version]) -> bool:
    """Return whether versions are the right ones, in what is known of them."""
    return got == right or (len(got) == len(right) and all(map(same, got, right)))


def same(got: Version | None, right: Version | None) -> bool:
    """Return whether a version is the right one; fields that a history of others does not know are None."""
    if got == right or got is None or right is None:
        return got == right
    return all(one is None or one == other for one, other in zip(got, right, strict=True))


def versions(kvs: list[KvFields]) -> list[Version]:
    """Return the versions that a line lists."""
    return [version_of(kv) for kv in kvs]
