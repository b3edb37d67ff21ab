"""The layout of a store, as options of the engine. They may differ from one opening to the next."""

from dataclasses import dataclass, field

from brainctl.clock import Clock, SystemClock
from brainctl.engine.sector import SECTOR


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options of the engine; sizes are in bytes."""

    segment_size: int = 64 << 20
    """Bytes of a log segment; one that must hold a larger batch is larger."""
    alignment: int = SECTOR
    """Batches begin at multiples of this, a power of two from 512 to 4096.

    512 suits media that never damage a sector that is not being written; 4096 makes no such demand on 4 KiB blocks, and
    costs up to 4 KiB per group commit.
    """
    zero_ahead: int = 1 << 20
    """Log space is filled with zeros in steps of this size while group commits are small; 0 turns that off."""
    spare_segments: int = 2
    """Up to this number of files of dead segments are kept to be used again by the log; others are removed.

    Space that was written before is cheaper to sync (docs/internals/device-writes.md).
    """
    group_limit: int = 8 << 20
    """Up to this is written between two syncs; more only if one batch is larger."""
    garbage_ratio: float = 0.5
    """Reclaim rewrites a segment in the background once this part of it is dead."""
    run_records: int = 16_000
    """The memtable is due to be written as a run after this number of records, each batch counting as three more.

    An opening reads a few times as many at most, each in less than a microsecond.
    """
    run_bytes: int = 32 << 20
    """The memtable is due to be written as a run after this many bytes of log, too."""
    quiet_records: int = 4_000
    """Records that are written as a run (see `run_records`) once the store has nothing else to do."""
    cache_bytes: int = 32 << 20
    """Memory for KeyValues that were recently written or read, and as much again for those recently listed."""
    clock: Clock = field(default_factory=SystemClock)
    """The clock by which syncs of the log are timed."""

    def __post_init__(self) -> None:
        if self.alignment not in (512, 1024, 2048, 4096):
            raise ValueError(f"alignment {self.alignment} is not a power of two from 512 to 4096")
