"""The bytes a store has written to its disk since it was created, by hour and by day, in the file WEAR beside it.

An estimate: it is written once an hour and when the store is closed, so a crash loses the counts since. No store needs
it; it may be removed.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

from crc32c import crc32c

from brainctl.engine.stats import Stats

NAME = "WEAR"
FORMAT = 1
HOUR, DAY = 3600, 86400
HOURS_KEPT, DAYS_KEPT = 7 * 24, 400
COUNTERS = tuple(counter.name for counter in fields(Stats))


@dataclass(slots=True)
class Period:
    """The counts of an hour or a day."""

    start: int
    """Seconds since the epoch."""
    counts: Stats = field(default_factory=Stats)


@dataclass(slots=True)
class WriteHistory:
    """The counts of one store."""

    since: float
    """Time when counting began, in seconds since the epoch."""
    until: float
    """Time of the last addition, in seconds since the epoch."""
    total: Stats = field(default_factory=Stats)
    hours: list[Period] = field(default_factory=list)
    """The last week; hours in which nothing was written are left out."""
    days: list[Period] = field(default_factory=list)

    def add(self, counts: Stats, now: float) -> None:
        """Add counts to the total, and to the hour and the day of `now` (seconds since the epoch)."""
        self.since, self.until = min(self.since, now), max(self.until, now)
        self.total.add(counts)
        for periods, length, kept in ((self.hours, HOUR, HOURS_KEPT), (self.days, DAY, DAYS_KEPT)):
            start = int(now) // length * length
            found = next((period for period in periods if period.start == start), None)
            if found is None:
                found = Period(start)
                periods.append(found)
                periods.sort(key=lambda period: period.start)
            found.counts.add(counts)
            del periods[:-kept]


def render(wear: WriteHistory) -> bytes:
    """Return the bytes of the file: a line of JSON, and one with its CRC-32C in hexadecimal."""
    row = {
        "format": FORMAT,
        "counters": COUNTERS,
        "since": wear.since,
        "until": wear.until,
        "total": _values(wear.total),
        "hours": [[period.start, *_values(period.counts)] for period in wear.hours],
        "days": [[period.start, *_values(period.counts)] for period in wear.days],
    }
    line = json.dumps(row).encode() + b"\n"
    return line + b"%08x\n" % crc32c(line)


def parse(data: bytes) -> WriteHistory | None:
    """Return the counts in the bytes of the file; None when they are not sound, or of another format."""
    line, newline, check = data.partition(b"\n")
    if check != b"%08x\n" % crc32c(line + newline):
        return None
    row = json.loads(line)
    if row["format"] != FORMAT:
        return None
    names = row["counters"]
    periods = [[Period(start, _stats(names, values)) for start, *values in row[kind]] for kind in ("hours", "days")]
    return WriteHistory(row["since"], row["until"], _stats(names, row["total"]), *periods)


def load(directory: Path) -> WriteHistory | None:
    """Return the counts of the store in a directory; None when there are none that can be read."""
    try:
        return parse((directory / NAME).read_bytes())
    except OSError:
        return None


def save(directory: Path, data: bytes) -> None:
    """Replace the file by rendered counts; an error is ignored: they are an estimate, and no reason to stop."""
    new = directory / f"{NAME}.new"
    with suppress(OSError):
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        new.replace(directory / NAME)


def difference(now: Stats, before: Stats) -> Stats:
    """Return the counts of the time in between."""
    return Stats(*(getattr(now, name) - getattr(before, name) for name in COUNTERS))


def _values(counts: Stats) -> list[int]:
    return [getattr(counts, name) for name in COUNTERS]


def _stats(names: Iterable[str], values: Iterable[int]) -> Stats:
    """Return counts by the names that the file has; those that this build does not know are dropped."""
    known = {name: value for name, value in zip(names, values, strict=True) if name in COUNTERS}
    return Stats(**known)
