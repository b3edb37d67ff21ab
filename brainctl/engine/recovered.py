"""A store as its files hold it: what an opening reads, and what the engine begins with."""

from dataclasses import dataclass, field

from brainctl.engine.covered import Covered
from brainctl.engine.garbage import Garbage
from brainctl.engine.index import KeyIndex
from brainctl.engine.prepared import LogEnd
from brainctl.engine.segment import Segment


@dataclass(slots=True)
class Recovered:
    """A store as its files hold it."""

    segments: dict[int, Segment] = field(default_factory=dict)
    """Those with something in them."""
    entries: dict[bytes, int] = field(default_factory=dict)
    """What the delta of the index is made of, while segments are read."""
    read: int = 0
    """How many versions have been read."""
    covered: Covered | None = None
    """What the runs have; None when there are none."""
    index: KeyIndex = field(default_factory=KeyIndex)
    garbage: Garbage = field(default_factory=Garbage)
    end: LogEnd = field(default_factory=LogEnd)
