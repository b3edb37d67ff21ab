"""Counters of what the engine has written to its disk."""

from dataclasses import dataclass, fields

CATEGORIES = ("log", "padding", "zero", "reclaim", "index", "meta")
"""The purposes of written bytes. What the file system writes of its own (journal, inodes) is in none of them."""


@dataclass(slots=True)
class Stats:
    """Counters since the store was opened. Bytes are those given to the file system, by purpose."""

    log_bytes: int = 0
    """Batches, with their headers."""
    padding_bytes: int = 0
    """Bytes that fill sectors and blocks up behind batches."""
    zero_bytes: int = 0
    """Zeros written ahead of the log."""
    reclaim_bytes: int = 0
    """Live records that were written again so that dead ones could go."""
    meta_bytes: int = 0
    """Segment headers and manifests, in whole blocks."""
    index_bytes: int = 0
    """Runs of the index."""
    payload_bytes: int = 0
    """KeyValues as they were handed in: what write amplification is relative to."""
    batches: int = 0
    groups: int = 0
    """Writes to the log, each followed by one sync."""
    records: int = 0
    syncs: int = 0
    """All syncs of files and directories."""
    recycled_segments: int = 0
    """Files of dead segments that were used again."""
    reclaim_read_bytes: int = 0
    """Bytes of segments that were read to be rewritten."""
    reclaimed_segments: int = 0
    reclaimed_bytes: int = 0
    """Bytes given back to the file system by reclaim."""

    @property
    def written_bytes(self) -> int:
        """Return all bytes given to the file system."""
        return sum(self.by_category.values())

    @property
    def by_category(self) -> dict[str, int]:
        """Return the bytes by purpose."""
        return {category: getattr(self, f"{category}_bytes") for category in CATEGORIES}

    def add(self, other: "Stats") -> None:
        """Add the counters of another thread or period."""
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))
