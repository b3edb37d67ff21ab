"""Counters of evaluated operations, those in transactions included: plain integers, which cost next to nothing."""


class Tally:
    """The operations on keys of one backend since it was opened."""

    __slots__ = ("deletes", "puts", "ranges")

    def __init__(self) -> None:
        self.puts = 0
        self.deletes = 0
        """DeleteRange operations, however many keys each has found."""
        self.ranges = 0
        """Reads in transactions, comparisons included; calls of KV.Range are counted as calls, not here."""
