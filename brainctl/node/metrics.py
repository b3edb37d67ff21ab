"""The figures of a node, for the page of metrics and whoever else shows them."""

from dataclasses import dataclass

from brainctl.clock import Durations
from brainctl.engine.stats import Stats
from brainctl.mvcc.tally import Tally
from brainctl.node.jobs.scrubber import ScrubState
from brainctl.tikv.client.traffic import Traffic


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """The figures of the local engine."""

    stats: Stats
    log_syncs: Durations
    """Durations of the syncs of the log, in seconds."""
    log_writes: Durations
    """Sizes of the writes to the log, in bytes."""
    alignment: int
    """Each write to the log begins at a multiple of this number of bytes."""
    tally: Tally
    keys: int
    """The number of live keys."""
    scrub: ScrubState


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """The figures of one node at one moment."""

    compacted: int = 0
    """The compacted revision."""
    watchers_refused: int = 0
    """Watchers for which there was no memory."""
    snapshots_refused: int = 0
    """Number of snapshots that were refused or given up because there were too many or the disk was full."""
    watch_streams: int = 0
    watchers: int = 0
    slow_watchers: int = 0
    """Watchers that are still reading history (unsynced), or whose clients do not read."""
    events_sent: int = 0
    """Events that were sent to watchers, since the start."""
    leases: int = 0
    expired_leases: int = 0
    """Number of leases that were revoked because their time was over, since the start."""
    auth_revision: int = 0
    engine: EngineFigures | None = None
    """None when the data is not in the local engine."""
    tikv: Traffic | None = None
    """None when the data is not on TiKV."""
