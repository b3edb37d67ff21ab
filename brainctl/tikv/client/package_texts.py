"""Translate the exceptions of the `tikv-client` package.

The package raises one class for everything; its texts are Rust debug output, of which an operator sees nothing unless
BRAINCTL_DEBUG=1 logs them.
"""

import logging
import os
import re
from typing import NamedTuple

from brainctl.log import Fact
from brainctl.tikv.errors import Failure, TikvFailed, TikvUnavailable

_log = logging.getLogger(__name__)


class Cause(NamedTuple):
    """A part of the package's text, and what an exception with it means."""

    part: str
    """The words that occur in the text."""
    failure: Failure
    sentence: str
    """The cause in words for an operator."""


_PD_SILENT = "its Placement Driver does not answer"
_NO_LEADER = "no server leads the keys that are requested: it is starting, or too few of its servers run"
_NO_SERVER = "one of its servers cannot be reached"
_CAUSES = (
    Cause("conflict: Some(", Failure.CONFLICT, "another transaction wrote one of the keys first"),
    Cause("already_exist: Some(", Failure.EXISTS, "a key that was to be new exists"),
    Cause("Duplicate key insertion", Failure.EXISTS, "a key that was to be new exists"),
    Cause("raft_entry_too_large: Some(", Failure.TOO_LARGE, "the value is larger than it takes"),
    Cause("KeyTooLarge", Failure.TOO_LARGE, "the key is longer than it takes"),
    Cause("disk_full: Some(", Failure.DISK_FULL, "one of its servers has no space left on its disk"),
    Cause("Failed to resolve lock", Failure.LOCKED, "the locks of another process stand in the way"),
    Cause("ResolveLockError", Failure.LOCKED, "the locks of another process stand in the way"),
    Cause("locked: Some(", Failure.LOCKED, "the locks of another process stand in the way"),
    Cause("message length too large", Failure.REPLY_TOO_LARGE, "an answer is larger than the 4 MiB that can be read"),
    Cause("message larger than max", Failure.REPLY_TOO_LARGE, "an answer is larger than can be sent"),
    Cause("PD cluster failed to respond", Failure.UNAVAILABLE, _PD_SILENT),
    Cause("TimestampRequest channel is closed", Failure.UNAVAILABLE, "the connection to its Placement Driver was lost"),
    Cause("rust future panicked", Failure.UNDETERMINED, "its client library failed"),
    Cause("server_is_busy: Some(", Failure.UNAVAILABLE, "one of its servers is too busy to answer"),
    Cause("Leader of region", Failure.UNAVAILABLE, _NO_LEADER),
    Cause("not_leader: Some(", Failure.UNAVAILABLE, _NO_LEADER),
    Cause("status: Unavailable", Failure.UNAVAILABLE, _NO_SERVER),
    Cause("transport error", Failure.UNAVAILABLE, _NO_SERVER),
    Cause("error trying to connect", Failure.UNAVAILABLE, _NO_SERVER),
)
"""Causes by the package's texts. The order counts: the first entry that occurs in a text decides."""

_LIMIT = 4 << 20
"""Bytes of the largest reply that the package reads."""
_FOUND = re.compile(r"(?:length too large: found |message larger than max \()(\d+)")
_MESSAGE = re.compile(r'(?:message|abort|retryable): "((?:[^"\\]|\\.){1,200})')


def cause(text: str) -> tuple[Failure, str]:
    """Return what an exception of the package with this text means, and a sentence about it without any Rust."""
    for known in _CAUSES:
        if known.part in text:
            return known.failure, known.sentence
    message = _MESSAGE.search(text)
    said = f": {message[1]}" if message and "/" not in message[1] else ""
    return Failure.UNDETERMINED, f"the request failed in a way that brainctl does not know{said}"


def classify(text: str) -> Failure:
    """Return what an exception of the package with this text means."""
    return cause(text)[0]


def fitting(failed: TikvFailed, asked: int) -> int:
    """Return how many items to ask for after a reply to `asked` items was too large; fewer than `asked`, at least 1.

    The answer is an eighth of what would fit if all items were equally large. They are not, and it takes the package
    two seconds to fail again.
    """
    size = _FOUND.search(failed.raw)
    return max(1, asked * (_LIMIT // 8) // max(int(size[1]) if size else 0, _LIMIT))


def translate(error: Exception, where: str = "") -> TikvFailed:
    """Return the error of this project for an exception of the package, or for its silence (TimeoutError).

    Args:
        error: what was raised.
        where: the addresses of the cluster's Placement Driver.
    """
    if isinstance(error, TikvFailed):
        return error
    text = str(error)
    if os.environ.get("BRAINCTL_DEBUG") and text:
        _log.warning(Fact("the TiKV client reports an error", error=text))
    failure, sentence = (Failure.UNAVAILABLE, "no answer in time") if isinstance(error, TimeoutError) else cause(text)
    kind = TikvUnavailable if failure is Failure.UNAVAILABLE else TikvFailed
    return kind(failure, sentence, where, text)


def not_connected(error: Exception, where: str) -> TikvFailed:
    """Return the error for a connection that could not be made.

    The package panics when the Placement Driver that it reaches has no leader: that counts as unavailable too.
    """
    failed = translate(error, where)
    if failed.failure is Failure.UNAVAILABLE:
        return failed
    return TikvUnavailable(Failure.UNAVAILABLE, "its Placement Driver is not ready", where, failed.raw)
