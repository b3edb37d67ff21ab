"""The kinds of differences between two stores."""

from enum import StrEnum
from typing import NamedTuple

from brainctl.etcdpb import kv_pb2 as kvpb

FIELDS = ("create_revision", "mod_revision", "version", "value", "lease")
"""The compared fields of a KeyValue."""


class MissingKey(NamedTuple):
    """A key of the first store that the second does not have."""

    key: bytes


class ExtraKey(NamedTuple):
    """A key of the second store that the first does not have."""

    key: bytes


class Mismatch(NamedTuple):
    """A key that both have with different fields."""

    key: bytes
    fields: tuple[str, ...]
    """The names of the fields that differ, out of FIELDS."""


class MissingRevisions(NamedTuple):
    """Revisions of the first store that the second has not reached."""

    first: int
    last: int


class ExtraRevisions(NamedTuple):
    """Revisions of the second store that the first has not reached."""

    first: int
    last: int


class MissingLease(NamedTuple):
    """A lease of the first store that the second does not have."""

    lease: int


class ExtraLease(NamedTuple):
    """A lease of the second store that the first does not have."""

    lease: int


class LeaseMismatch(NamedTuple):
    """A lease that both have, with different granted TTLs."""

    lease: int
    expected_ttl: int
    found_ttl: int


class Problem(StrEnum):
    """Difference of a user or a role of the second store."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


class Account(NamedTuple):
    """A user or a role that only one store has, or that both have with different fields."""

    kind: str
    """"user" or "role"."""
    name: str
    problem: Problem
    fields: tuple[str, ...] = ()
    """The names of the fields that differ, when both have it."""


class AuthSwitch(NamedTuple):
    """Authentication is on in one store only."""

    expected: bool
    found: bool


class ChangeDifference(NamedTuple):
    """A change of a key in one revision that only one store has, or that both have with different fields."""

    revision: int
    key: bytes
    problem: Problem
    fields: tuple[str, ...] = ()
    """The names of the fields that differ, out of FIELDS; "type" (put or delete), or "order" in the revision."""


KeyDifference = MissingKey | ExtraKey | Mismatch
LeaseDifference = MissingLease | ExtraLease | LeaseMismatch
LagDifference = MissingRevisions | ExtraRevisions
AccountDifference = Account | AuthSwitch
Difference = LagDifference | KeyDifference | LeaseDifference | AccountDifference | ChangeDifference


def difference(key: bytes, expected: bytes | None, found: bytes | None) -> KeyDifference | None:
    """Return how one key differs; its marshalled KeyValues are None in a store that does not have it."""
    if expected == found:
        return None
    if found is None:
        return MissingKey(key)
    if expected is None:
        return ExtraKey(key)
    return mismatch(key, expected, found)


def mismatch(key: bytes, expected: bytes, found: bytes) -> Mismatch | None:
    """Return how two marshalled KeyValues differ; None when only their encoding does."""
    left, right = kvpb.KeyValue.FromString(expected), kvpb.KeyValue.FromString(found)
    fields = tuple(name for name in FIELDS if getattr(left, name) != getattr(right, name))
    return Mismatch(key, fields) if fields else None


def as_change(revision: int, entry: KeyDifference) -> ChangeDifference:
    """Return the difference of a key at an old revision as one of the history."""
    match entry:
        case MissingKey(key):
            return ChangeDifference(revision, key, Problem.MISSING)
        case ExtraKey(key):
            return ChangeDifference(revision, key, Problem.EXTRA)
        case Mismatch(key, fields):
            return ChangeDifference(revision, key, Problem.DIFFERENT, fields)
