"""Decide where a process begins on a target: anew, or where the record says that the last process ended."""

from typing import NamedTuple

from brainctl.errors import InvalidInput, NotEmpty
from brainctl.migrate.machine.phases import STREAMING, Phase
from brainctl.migrate.machine.record import History, Record


class Plan(NamedTuple):
    """Beginning of this process."""

    record: Record
    run: str
    """The random name of this process."""
    epoch: int
    resumed: bool
    clean: bool
    """Nothing must be removed from the target first."""


class CutOver(NotEmpty):
    """The migration into this target is complete."""


def check_resume(record: Record, revision: int, cluster: int, history: History) -> None:
    """Check that a migration with this record may go on.

    Args:
        record: The record of the target.
        revision: The revision of the target.
        cluster: The cluster id of the source.
        history: The part of the history to copy.

    Raises:
        CutOver: It is complete.
        InvalidInput: It is from another source or with another option, or another process wrote to the target.
    """
    if record.phase is Phase.COMMITTED:
        raise CutOver(
            f"the target was cut over at revision {record.watermark} and takes no more from the source; "
            "--overwrite starts over"
        )
    if record.cluster != cluster:
        raise InvalidInput(
            f"the target belongs to a migration from cluster {record.cluster:x}, but the source is cluster "
            f"{cluster:x}; --overwrite starts over"
        )
    if record.history != history:
        raise InvalidInput(
            f"the target belongs to a migration with --history {record.history}; --overwrite starts over"
        )
    copying = record.phase is Phase.COPYING
    if revision != record.watermark if record.phase in STREAMING else copying and revision > record.base:
        raise InvalidInput(
            f"the target is at revision {revision}, but the migration left it at {record.watermark}: something "
            "else wrote to it; --overwrite starts over"
        )
