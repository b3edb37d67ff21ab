"""How long a medium lasts at the rate at which a store writes to it."""

from typing import NamedTuple

from brainctl.engine.write_history import DAY, Period

WARRANTY_YEARS = 5.0
"""For how long a number of drive writes per day is usually meant."""
_LEAST_SECONDS = 3600.0
"""Less history gives no rate."""
_WEEK = 7


class Rate(NamedTuple):
    """How much is written in a day."""

    bytes_per_day: float
    days: float
    """Of how many days it is the mean; 0 when they are too few to tell."""


class Endurance(NamedTuple):
    """What a rating means for a rate."""

    rated_bytes: int
    """That the medium is rated to take from the host, in all."""
    years: float
    """In which the store alone writes as much."""
    share: float
    """Of the bytes per day that the rating allows over its warranty."""


def mean_rate(written: int, since: float, now: float) -> Rate:
    """Over all the time that was counted."""
    seconds = now - since
    return Rate(written * DAY / seconds, seconds / DAY) if seconds >= _LEAST_SECONDS else Rate(0.0, 0.0)


def recent_rate(days: list[Period], since: float, now: float) -> Rate:
    """Over the last seven whole days and what there is of today, or since counting began."""
    first = max(since, int(now) // DAY * DAY - _WEEK * DAY)
    written = sum(period.counts.written_bytes for period in days if period.start + DAY > first)
    return mean_rate(written, first, now)


def endurance(rate: Rate, rated_bytes: int, warranty_years: float = WARRANTY_YEARS) -> Endurance | None:
    """What is left of a rating in bytes at a rate; None when nothing is written, or the rate is not known."""
    if not rate.bytes_per_day or not rated_bytes:
        return None
    allowed = rated_bytes / (warranty_years * 365)
    return Endurance(rated_bytes, rated_bytes / rate.bytes_per_day / 365, rate.bytes_per_day / allowed)


def rated_by_dwpd(drive_writes: float, capacity: int, warranty_years: float = WARRANTY_YEARS) -> int:
    """The bytes of a rating in drive writes per day."""
    return int(drive_writes * capacity * warranty_years * 365)
