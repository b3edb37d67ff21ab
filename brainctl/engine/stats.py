"""What the engine has done to its medium, in numbers."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Stats:
    """Counters since the store was opened. Bytes are those given to the file system, by what they were for."""

    log_bytes: int = 0
    """Batches, with their headers and padding."""
    zero_bytes: int = 0
    """Zeros written ahead of the log."""
    reclaim_bytes: int = 0
    """Live records that were written again so that dead ones could go."""
    meta_bytes: int = 0
    """Segment headers and manifests."""
    index_bytes: int = 0
    """Runs of the index."""
    payload_bytes: int = 0
    """Key-values as they were handed in: what write amplification is relative to."""
    batches: int = 0
    groups: int = 0
    """Writes to the log, each followed by one sync."""
    records: int = 0
    syncs: int = 0
    """All syncs of files and directories."""
    reclaimed_segments: int = 0
    reclaimed_bytes: int = 0
    """Bytes given back to the file system by reclaim."""

    @property
    def written_bytes(self) -> int:
        """Everything given to the file system."""
        return self.log_bytes + self.zero_bytes + self.reclaim_bytes + self.meta_bytes + self.index_bytes

    def add(self, other: "Stats") -> None:
        """Count what was counted apart."""
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))
