"""What the engine has done to its medium, in numbers."""

from dataclasses import dataclass, fields

CATEGORIES = ("log", "padding", "zero", "reclaim", "index", "meta")
"""What bytes are written for. What the file system writes of its own (journal, inodes) is in none of them."""


@dataclass(slots=True)
class Stats:
    """Counters since the store was opened. Bytes are those given to the file system, by what they were for."""

    log_bytes: int = 0
    """Batches, with their headers."""
    padding_bytes: int = 0
    """What fills sectors and blocks up behind batches."""
    zero_bytes: int = 0
    """Zeros written ahead of the log."""
    reclaim_bytes: int = 0
    """Live records that were written again so that dead ones could go."""
    meta_bytes: int = 0
    """Segment headers and manifests, in whole blocks."""
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
    recycled_segments: int = 0
    """Files of dead segments that were used again."""
    reclaim_read_bytes: int = 0
    """Of segments that were rewritten."""
    reclaimed_segments: int = 0
    reclaimed_bytes: int = 0
    """Bytes given back to the file system by reclaim."""

    @property
    def written_bytes(self) -> int:
        """Everything given to the file system."""
        return sum(self.by_category.values())

    @property
    def by_category(self) -> dict[str, int]:
        """Bytes by what they were written for."""
        return {category: getattr(self, f"{category}_bytes") for category in CATEGORIES}

    def add(self, other: "Stats") -> None:
        """Count what was counted apart."""
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))
