"""How an engine lays out its store. Options may differ from one opening to the next."""

from dataclasses import dataclass, field

from brainctl.clock import Clock, SystemClock
from brainctl.engine.sector import SECTOR


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Sizes in bytes."""

    segment_size: int = 64 << 20
    """Of a log segment; one that must hold a larger batch is larger."""
    alignment: int = SECTOR
    """Batches begin at multiples of this, a power of two from 512 to 4096. 512 suits media that never damage a sector
    that is not being written; 4096 makes no such demand on 4 KiB blocks, and costs up to 4 KiB per group commit."""
    zero_ahead: int = 1 << 20
    """Log space is filled with zeros in steps of this size while group commits are small; 0 turns that off."""
    spare_segments: int = 2
    """So many files of dead segments are kept to be used again by the log; others are given back."""
    group_limit: int = 8 << 20
    """More than this is not written between two syncs, unless one batch is larger."""
    garbage_ratio: float = 0.5
    """Reclaim rewrites a segment in the background once this part of it is dead."""
    run_records: int = 16_000
    """The index of what is new is due to be written as a run after so many records, of which each batch counts as three
    more: an opening reads a few times as many at most, each in less than a microsecond."""
    run_bytes: int = 32 << 20
    """The same, after so many bytes of log."""
    quiet_records: int = 4_000
    """The same, once the store has nothing else to do."""
    cache_bytes: int = 32 << 20
    """Memory for KeyValues that were lately written or read, and as much again for what was lately listed."""
    clock: Clock = field(default_factory=SystemClock)
    """By which syncs of the log are timed."""

    def __post_init__(self) -> None:
        if self.alignment not in (512, 1024, 2048, 4096):
            raise ValueError(f"alignment {self.alignment} is not a power of two from 512 to 4096")
