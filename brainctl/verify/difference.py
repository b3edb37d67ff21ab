"""How two stores can differ."""

from enum import StrEnum
from typing import NamedTuple

from brainctl.etcdpb import kv_pb2 as kvpb

FIELDS = ("create_revision", "mod_revision", "version", "value", "lease")


class MissingKey(NamedTuple):
    """A key of the first store that the second has not."""

    key: bytes


class ExtraKey(NamedTuple):
    """A key of the second store that the first has not."""

    key: bytes


class Mismatch(NamedTuple):
    """A key that both have, but not alike."""

    key: bytes
    fields: tuple[str, ...]
    """What differs, out of FIELDS."""


class MissingRevisions(NamedTuple):
    """Revisions of the first store that the second has not reached."""

    first: int
    last: int


class ExtraRevisions(NamedTuple):
    """Revisions of the second store that the first has not reached."""

    first: int
    last: int


class MissingLease(NamedTuple):
    """A lease of the first store that the second has not."""

    lease: int


class ExtraLease(NamedTuple):
    """A lease of the second store that the first has not."""

    lease: int


class LeaseMismatch(NamedTuple):
    """A lease that both have, with different granted TTLs."""

    lease: int
    expected_ttl: int
    found_ttl: int


class Problem(StrEnum):
    """What is wrong with a user or a role of the second store."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


class Account(NamedTuple):
    """A user or a role that only one store has, or that both have, but not alike."""

    kind: str
    """user or role."""
    name: str
    problem: Problem
    fields: tuple[str, ...] = ()
    """What differs, of one that both have."""


class AuthSwitch(NamedTuple):
    """Authentication is on in one store only."""

    expected: bool
    found: bool


KeyDifference = MissingKey | ExtraKey | Mismatch
LeaseDifference = MissingLease | ExtraLease | LeaseMismatch
LagDifference = MissingRevisions | ExtraRevisions
AccountDifference = Account | AuthSwitch
Difference = LagDifference | KeyDifference | LeaseDifference | AccountDifference


def difference(key: bytes, expected: bytes | None, found: bytes | None) -> KeyDifference | None:
    """How one key differs between two stores: its marshalled KeyValues, None where it is not there."""
    if expected == found:
        return None
    if found is None:
        return MissingKey(key)
    if expected is None:
        return ExtraKey(key)
    return mismatch(key, expected, found)


def mismatch(key: bytes, expected: bytes, found: bytes) -> Mismatch | None:
    """How two marshalled KeyValues differ; None when only their encoding does."""
    left, right = kvpb.KeyValue.FromString(expected), kvpb.KeyValue.FromString(found)
    fields = tuple(name for name in FIELDS if getattr(left, name) != getattr(right, name))
    return Mismatch(key, fields) if fields else None
