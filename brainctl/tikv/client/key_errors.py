"""Say what the errors of TiKV about keys mean: without I/O."""

from collections.abc import Iterable
from typing import NamedTuple

from brainctl.tikv.errors import Failure
from brainctl.tikvpb import kvrpcpb_pb2 as kv

LOCKED = "the locks of another process stand in the way"
ENDED = "another process ended the transaction, since its locks had run out"
_ABORTS = (
    ("ollback", Failure.CONFLICT, ENDED),
    ("KeyTooLarge", Failure.TOO_LARGE, "the key is longer than it takes"),
)
"""Errors for which the protocol of TiKV has no field: a part of the text of `abort`, and its meaning."""


class Verdict(NamedTuple):
    """The meaning of errors about keys."""

    locks: list[kv.LockInfo]
    """The locks that are in the way."""
    failure: Failure | None
    """Failure that a retry would not cure; None when only locks are in the way."""
    sentence: str = ""
    raw: str = ""


def judge(errors: Iterable[kv.KeyError]) -> Verdict:
    """Return what errors about keys mean. One that does not pass counts more than a lock."""
    locks: list[kv.LockInfo] = []
    for error in errors:
        if error.HasField("locked"):
            locks.append(error.locked)
            continue
        failure, sentence = _meaning(error)
        return Verdict(locks, failure, sentence, str(error))
    return Verdict(locks, None)


def _meaning(error: kv.KeyError) -> tuple[Failure, str]:
    if error.HasField("conflict") or error.retryable:
        return Failure.CONFLICT, "another transaction wrote one of the keys first"
    if error.HasField("already_exist"):
        return Failure.EXISTS, "a key that was to be new exists"
    if error.HasField("deadlock"):
        return Failure.LOCKED, LOCKED
    if error.HasField("txn_lock_not_found") or error.HasField("txn_not_found"):
        return Failure.CONFLICT, ENDED
    for part, failure, sentence in _ABORTS:
        if part in error.abort:
            return failure, sentence
    return Failure.UNDETERMINED, "a request was refused for a reason that brainctl does not know"
