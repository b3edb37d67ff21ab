"""Hold a store as its files have it: what an opening reads, and what the engine begins with."""

from dataclasses import dataclass, field

from brainctl.engine.index.dead_versions import DeadVersions
from brainctl.engine.index.key_index import KeyIndex
from brainctl.engine.index.log_coverage import LogCoverage
from brainctl.engine.log.encoded_batch import LogEnd
from brainctl.engine.log.segment import Segment


@dataclass(slots=True)
class Recovered:
    """A store as its files have it."""

    segments: dict[int, Segment] = field(default_factory=dict)
    """The segments with something in them, by number."""
    entries: dict[bytes, int] = field(default_factory=dict)
    """The entries of the memtable by key, while segments are read."""
    read: int = 0
    """Number of versions that have been read, each batch counting as `log_replay.BATCH_RECORDS` more."""
    covered: LogCoverage | None = None
    """The place in the log up to which runs cover it; None when there are none."""
    index: KeyIndex = field(default_factory=KeyIndex)
    """The index over the runs and, at the end, `entries`."""
    garbage: DeadVersions = field(default_factory=DeadVersions)
    """Versions that are superseded, and die when a compaction passes them."""
    end: LogEnd = field(default_factory=LogEnd)
    """End of the log, with the revision and the small records there."""
