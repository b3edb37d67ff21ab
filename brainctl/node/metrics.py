"""What there is to count in a node, for whoever shows it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from brainctl.clock import Durations
from brainctl.engine.stats import Stats
from brainctl.mvcc.tally import Tally
from brainctl.node.jobs.scrubber import ScrubState
from brainctl.tikv.traffic import Traffic


@runtime_checkable
class OverTikv(Protocol):
    """A backend that counts what it asks of TiKV."""

    @property
    def traffic(self) -> Traffic:
        """What was asked of TiKV."""


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Of the local engine."""

    stats: Stats
    log_syncs: Durations
    """How long syncs of the log took."""
    log_writes: Durations
    """How large writes to the log were, in bytes."""
    alignment: int
    """Each of them begins at a multiple of so many bytes."""
    tally: Tally
    keys: int
    """Live keys."""
    scrub: ScrubState


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """Of one node, now."""

    compacted: int = 0
    """The compacted revision."""
    watch_streams: int = 0
    watchers: int = 0
    slow_watchers: int = 0
    """Those of them that are reading the history, or whose clients do not read."""
    leases: int = 0
    expired_leases: int = 0
    """Revoked because their time was over, since the start."""
    auth_revision: int = 0
    engine: EngineFigures | None = None
    """None where the data is elsewhere."""
    tikv: Traffic | None = None
    """None where the data is not on TiKV."""
