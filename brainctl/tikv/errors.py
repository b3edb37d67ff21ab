"""What the TiKV client's exceptions mean. It raises one class for everything; its texts are Rust debug output."""

import re
from enum import Enum

from brainctl.errors import BrainctlError, ConnectionFailed


class Failure(Enum):
    """What a failed call of the client says about the transaction."""

    CONFLICT = "another transaction wrote one of the keys first; nothing was written"
    EXISTS = "a key that was to be inserted exists; nothing was written"
    LOCKED = "the locks of another transaction stand in the way; nothing was written"
    TOO_LARGE = "a key or value is larger than TiKV takes; nothing was written"
    REPLY_TOO_LARGE = "the answer is larger than the client takes"
    UNAVAILABLE = "TiKV cannot be reached; nothing is known about a commit"
    UNDETERMINED = "anything else; nothing is known about a commit"


_TEXTS = (
    ("conflict: Some(", Failure.CONFLICT),
    ("already_exist: Some(", Failure.EXISTS),
    ("Duplicate key insertion", Failure.EXISTS),
    ("raft_entry_too_large: Some(", Failure.TOO_LARGE),
    ("KeyTooLarge", Failure.TOO_LARGE),
    ("Failed to resolve lock", Failure.LOCKED),
    ("ResolveLockError", Failure.LOCKED),
    ("locked: Some(", Failure.LOCKED),
    ("message length too large", Failure.REPLY_TOO_LARGE),
    ("PD cluster failed to respond", Failure.UNAVAILABLE),
    ("TimestampRequest channel is closed", Failure.UNAVAILABLE),
    ("Leader of region", Failure.UNAVAILABLE),
    ("status: Unavailable", Failure.UNAVAILABLE),
    ("transport error", Failure.UNAVAILABLE),
    ("error trying to connect", Failure.UNAVAILABLE),
)
"""In order: the first text that occurs decides."""

NOT_WRITTEN = frozenset({Failure.CONFLICT, Failure.EXISTS, Failure.LOCKED, Failure.TOO_LARGE})
"""Failures after which it is certain that a commit wrote nothing; only then may it be rolled back. (To roll back a
commit that did happen would remove those of its writes that are still marked by locks.)"""

_LIMIT = 4 << 20
_FOUND = re.compile(r"length too large: found (\d+) bytes")


def classify(text: str) -> Failure:
    """What an exception with this text means."""
    return next((failure for part, failure in _TEXTS if part in text), Failure.UNDETERMINED)


class TikvFailed(BrainctlError):
    """A call of the TiKV client failed; `failure` says what that means."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(f"TiKV: {failure.value} ({text[:300]})")
        self.failure = failure
        size = _FOUND.search(text)
        self._found = int(size[1]) if size else 0

    def fitting(self, asked: int) -> int:
        """How many items to ask for, less than `asked`, where a reply was too large for so many.

        An eighth of what fits if all are alike: they are not, and it takes the package two seconds to fail again.
        """
        return max(1, asked * (_LIMIT // 8) // max(self._found, _LIMIT))


class TikvUnavailable(TikvFailed, ConnectionFailed):
    """TiKV, or its Placement Driver, cannot be reached."""


def translate(error: Exception) -> TikvFailed:
    """The error of this project for one of the client's, or for its silence."""
    if isinstance(error, TimeoutError):
        return TikvUnavailable(Failure.UNAVAILABLE, "no answer in time")
    text = str(error)
    failure = classify(text)
    return (TikvUnavailable if failure is Failure.UNAVAILABLE else TikvFailed)(failure, text)
