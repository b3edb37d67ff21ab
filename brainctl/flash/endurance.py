"""Estimate the lifetime of a disk at the rate at which a store writes to it.

Example: a disk of 1 TB rated for 1 drive write per day over 5 years may take 1825 TB. A store that writes 100 GB per
day would need 50 years for that, and uses a tenth of the daily allowance.
"""

from typing import NamedTuple

from brainctl.engine.write_history import DAY, Period

WARRANTY_YEARS = 5.0
"""The years that a rating in drive writes per day usually covers."""
_LEAST_SECONDS = 3600.0
"""A history shorter than this, in seconds, gives no rate."""
_WEEK = 7
"""Days of the recent rate."""


class Rate(NamedTuple):
    """Bytes that are written in a day."""

    bytes_per_day: float
    days: float
    """The number of days of which it is the mean; 0 when the history is too short."""


class Endurance(NamedTuple):
    """Life of a disk of that rating at that rate."""

    rated_bytes: int
    """The total of bytes that the disk is rated to take from the host."""
    years: float
    """The years in which the store alone writes as much."""
    share: float
    """The rate as a share of the bytes per day that the rating allows over its warranty."""


def mean_rate(written: int, since: float, now: float) -> Rate:
    """Return the rate over the whole time that was counted."""
    seconds = now - since
    return Rate(written * DAY / seconds, seconds / DAY) if seconds >= _LEAST_SECONDS else Rate(0.0, 0.0)


def recent_rate(days: list[Period], since: float, now: float) -> Rate:
    """Return the rate over the last seven whole days and today, or since counting began."""
    first = max(since, int(now) // DAY * DAY - _WEEK * DAY)
    written = sum(period.counts.written_bytes for period in days if period.start + DAY > first)
    return mean_rate(written, first, now)


def endurance(rate: Rate, rated_bytes: int, warranty_years: float = WARRANTY_YEARS) -> Endurance | None:
    """Return what a rating in bytes means for a rate; None when nothing is written, or the rate is not known."""
    if not rate.bytes_per_day or not rated_bytes:
        return None
    allowed = rated_bytes / (warranty_years * 365)
    return Endurance(rated_bytes, rated_bytes / rate.bytes_per_day / 365, rate.bytes_per_day / allowed)


def rated_by_dwpd(drive_writes: float, capacity: int, warranty_years: float = WARRANTY_YEARS) -> int:
    """Return the bytes of a rating in drive writes per day."""
    return int(drive_writes * capacity * warranty_years * 365)
