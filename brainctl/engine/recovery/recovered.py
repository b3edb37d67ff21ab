"""A store as its files hold it: what an opening reads, and what the engine begins with."""

from dataclasses import dataclass, field

from brainctl.engine.index.dead_versions import DeadVersions
from brainctl.engine.index.key_index import KeyIndex
from brainctl.engine.index.log_coverage import LogCoverage
from brainctl.engine.log.encoded_batch import LogEnd
from brainctl.engine.log.segment import Segment


@dataclass(slots=True)
class Recovered:
    """A store as its files hold it."""

    segments: dict[int, Segment] = field(default_factory=dict)
    """Those with something in them."""
    entries: dict[bytes, int] = field(default_factory=dict)
    """What the delta of the index is made of, while segments are read."""
    read: int = 0
    """How many versions have been read."""
    covered: LogCoverage | None = None
    """What the runs have; None when there are none."""
    index: KeyIndex = field(default_factory=KeyIndex)
    garbage: DeadVersions = field(default_factory=DeadVersions)
    end: LogEnd = field(default_factory=LogEnd)
