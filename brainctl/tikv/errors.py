"""Say what can go wrong with TiKV, by what it means for a transaction."""

from enum import Enum

from brainctl.errors import TIMEOUT, ApiError, BrainctlError, ConnectionFailed, ExitCode, StoreDamaged


class Failure(Enum):
    """Meaning of a failed call for the transaction; the value is the advice to an operator."""

    CONFLICT = "try again"
    """Another transaction wrote one of the keys first; nothing was written."""
    EXISTS = "choose another key"
    """A key that was to be inserted exists; nothing was written."""
    LOCKED = "they run out within seconds: try again then"
    """The locks of another transaction are in the way; nothing was written."""
    TOO_LARGE = "make it smaller, or raise raftstore.raft-entry-max-size of TiKV"
    """The value or the key is larger than TiKV takes; nothing was written."""
    REPLY_TOO_LARGE = "ask for less at a time"
    """An answer is larger than the client reads: a read has to ask for fewer items."""
    UNAVAILABLE = "check that its servers run and can be reached from here"
    """TiKV cannot be reached. Nothing is known about a commit."""
    DISK_FULL = "give it space"
    """A server of TiKV has no space left. Nothing is known about a commit."""
    UNDETERMINED = "try again, with BRAINCTL_DEBUG=1 for all that the client says"
    """Anything else. Nothing is known about a commit."""


NOT_WRITTEN = frozenset({Failure.CONFLICT, Failure.EXISTS, Failure.LOCKED, Failure.TOO_LARGE})
"""Failures after which it is certain that a commit wrote nothing; only then may it be rolled back. (To roll back a
commit that did happen would remove those of its writes that are still marked by locks.)
"""


class TikvFailed(BrainctlError):
    """A call of the TiKV client failed; `failure` says what that means."""

    def __init__(self, failure: Failure, sentence: str, where: str = "", raw: str = "", outcome: str = "") -> None:
        """Create the error with a text of its sentence, the outcome, and the advice of `failure`.

        Args:
            failure: what the failure means.
            sentence: the cause in words.
            where: the addresses of the cluster's Placement Driver.
            raw: the client's own text.
            outcome: what happened to a write; empty for other calls.
        """
        place = f"TiKV at {where}" if where else "TiKV"
        super().__init__(f"{place}: {sentence}{outcome and '; '}{outcome}; {failure.value}")
        self.failure = failure
        self.sentence = sentence
        self.where = where
        self.raw = raw
        self.exit_code = _EXITS.get(failure, type(self).exit_code)
        self.passing = failure not in (Failure.TOO_LARGE, Failure.REPLY_TOO_LARGE, Failure.DISK_FULL)


_EXITS = {Failure.UNAVAILABLE: ExitCode.CONNECTION, Failure.DISK_FULL: ExitCode.NO_SPACE}


class ClusterDamaged(StoreDamaged):
    """Damage: TiKV returns something else than what was written."""

    advice = "restore a backup of TiKV, or `brainctl migrate` a backup of the store into another prefix"


class TikvUnavailable(TikvFailed, ConnectionFailed):
    """TiKV, or its Placement Driver, cannot be reached."""


class RequestFailed(ApiError):
    """A request that TiKV did not answer, and that changed nothing.

    Clients of the API get etcd's time-out; a command that has the store open shows the cause in words.
    """

    def __init__(self, failed: TikvFailed) -> None:
        """Create the error with the text and the exit code of `failed`."""
        super().__init__(TIMEOUT)
        self.args = (str(failed),)
        self.exit_code = failed.exit_code
