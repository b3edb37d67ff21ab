"""Say what to do about the refusal of a region: without I/O, one row for each error that TiKV knows."""

from enum import Enum
from typing import NamedTuple

from brainctl.tikv.errors import Failure
from brainctl.tikvpb import errorpb_pb2 as pb


class Reaction(Enum):
    """A step before the request is repeated."""

    WAIT = "wait"
    """Ask the same peer again."""
    LEADER = "leader"
    """Ask the peer that the refusal names."""
    NEXT = "next"
    """Ask the next peer: it may lead, or know who does."""
    TAKE = "take"
    """Take over the regions that the refusal describes, and sort the keys anew."""
    FORGET = "forget"
    """Ask the Placement Driver about the region, and sort the keys anew."""
    MOVED = "moved"
    """Ask the Placement Driver for the address of the store as well."""
    FAIL = "fail"
    """Repeat nothing: it would fail again."""


class Advice(NamedTuple):
    """The meaning of a refusal."""

    reaction: Reaction
    sentence: str
    """The cause in words for an operator, when the time runs out."""
    failure: Failure = Failure.UNAVAILABLE
    certain: bool = True
    """Whether the request is certain to have done nothing."""
    pause: float = 0.0
    """Seconds to wait at least."""


_NO_LEADER = "no server leads the keys that are requested: it is starting, or too few of its servers run"
_MOVING = "the keys that are requested are being moved between its servers"
_STARTING = "one of its servers is not ready yet"
_BUSY = "one of its servers is too busy to answer"
_SET_BACK = "the keys that are requested are being set back to an earlier time (flashback)"
_FULL = "one of its servers has no space left on its disk"
_LARGE = "the value is larger than it takes"

_ADVICE = {
    "epoch_not_match": Advice(Reaction.TAKE, _MOVING),
    # Also what a peer says that is being removed with a proposal in it.
    "region_not_found": Advice(Reaction.FORGET, _MOVING, certain=False),
    "region_not_initialized": Advice(Reaction.FORGET, _MOVING),
    "key_not_in_region": Advice(Reaction.FORGET, _MOVING),
    "mismatch_peer_id": Advice(Reaction.FORGET, _MOVING),
    "bucket_version_not_match": Advice(Reaction.FORGET, _MOVING),
    "store_not_match": Advice(Reaction.MOVED, _MOVING),
    "stale_command": Advice(Reaction.WAIT, _NO_LEADER, certain=False),
    "proposal_in_merging_mode": Advice(Reaction.WAIT, _MOVING, certain=False),
    "undetermined_result": Advice(Reaction.WAIT, _NO_LEADER, Failure.UNDETERMINED, certain=False),
    "read_index_not_ready": Advice(Reaction.WAIT, _MOVING),
    "max_timestamp_not_synced": Advice(Reaction.WAIT, _STARTING),
    "recovery_in_progress": Advice(Reaction.WAIT, _STARTING),
    "data_is_not_ready": Advice(Reaction.NEXT, _STARTING),
    "is_witness": Advice(Reaction.NEXT, _NO_LEADER),
    "raft_entry_too_large": Advice(Reaction.FAIL, _LARGE, Failure.TOO_LARGE),
    "disk_full": Advice(Reaction.FAIL, _FULL, Failure.DISK_FULL),
    "flashback_in_progress": Advice(Reaction.FAIL, _SET_BACK),
    "flashback_not_prepared": Advice(Reaction.FAIL, _SET_BACK),
}
BUSY_SECONDS = 0.1
"""Seconds to wait for a busy server that does not say how long."""


def advise(error: pb.Error) -> Advice:
    """Return what a refusal means, and what to do about it."""
    if error.HasField("not_leader"):
        known = error.not_leader.leader.id
        return Advice(Reaction.LEADER if known else Reaction.NEXT, _NO_LEADER)
    if error.HasField("server_is_busy"):
        return Advice(Reaction.WAIT, _BUSY, pause=error.server_is_busy.backoff_ms / 1000 or BUSY_SECONDS)
    for field, _ in error.ListFields():
        if (advice := _ADVICE.get(field.name)) is not None:
            if field.name == "epoch_not_match" and not error.epoch_not_match.current_regions:
                return advice._replace(reaction=Reaction.FORGET)
            return advice
    # An error of a later version of TiKV.
    return Advice(Reaction.FORGET, "a server refuses a request for a reason that brainctl does not know", certain=False)
