"""Check that every operation fits between its call and its return, in the order that revisions give away.

In the order of revisions, each operation takes effect at a moment between its call and its return, and the moments only
move on. That is possible exactly if no operation has returned before one that comes earlier in the order was called.
Reads of one revision come after its write and before the next one, in any order among themselves.
"""

from brainctl.check.line import Line

NOT_YET = -(1 << 62)
NEVER = 1 << 62


class Order:
    """The latest calls of the order so far."""

    __slots__ = ("before", "before_by", "latest", "latest_by")

    def __init__(self) -> None:
        self.before = NOT_YET
        """The latest call of all that comes before the reads of the newest revision."""
        self.before_by: Line | None = None
        self.latest = NOT_YET
        """The latest call of all operations so far."""
        self.latest_by: Line | None = None

    def copy(self) -> "Order":
        """Return a copy of the order that later calls do not change."""
        copied = Order()
        copied.before, copied.before_by = self.before, self.before_by
        copied.latest, copied.latest_by = self.latest, self.latest_by
        return copied

    def read(self, line: Line, called: int, returned: int) -> Line | None:
        """Take a read of the newest revision; return the line that it contradicts, None when there is none."""
        late = self.before_by if returned < self.before else None
        if called > self.latest:
            self.latest, self.latest_by = called, line
        return late

    def write(self, line: Line, called: int, returned: int) -> Line | None:
        """Take the next revision; return the line that it contradicts, None when there is none."""
        late = self.latest_by if returned < self.latest else None
        if called > self.latest:
            self.latest, self.latest_by = called, line
        self.before, self.before_by = self.latest, self.latest_by
        return late
