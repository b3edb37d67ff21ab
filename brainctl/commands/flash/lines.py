"""What `brainctl flash report` shows."""

import io
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from brainctl.engine.stats import CATEGORIES, Stats
from brainctl.engine.write_history import Period, WriteHistory
from brainctl.flash.device import look
from brainctl.flash.endurance import Endurance, Rate, endurance, mean_rate, recent_rate
from brainctl.output.gotext import size

if TYPE_CHECKING:
    from rich.console import Console

    from brainctl.commands.flash.report import Found, Rating

ABOUT = {
    "log": "the changes, with their headers",
    "padding": "what fills up sectors and blocks",
    "zero": "zeros, written ahead of the log",
    "reclaim": "live records, written again to free dead ones",
    "index": "runs of the index",
    "meta": "headers of segments, manifests",
}
WIDTH = 100
_SHOWN = 14
"""Periods of the history of reclaim."""


def day(start: int) -> str:
    """Return the date, MM-DD in UTC, of the day that begins `start` seconds after the epoch."""
    return f"{datetime.fromtimestamp(start, UTC):%m-%d}"


def as_text(found: "Found", rating: "Rating", now: float) -> bytes:
    """Return the report for people: tables with bars, in colour on a terminal."""
    from rich.console import Console

    text = io.StringIO()
    is_terminal = sys.stdout.isatty()
    console = Console(file=text, force_terminal=is_terminal, width=None if is_terminal else WIDTH, highlight=False)
    wear = found.wear
    if wear is None:
        console.print(f"{found.directory}: nothing was counted yet: the counts are kept when a store is closed")
    else:
        console.print(
            f"{found.directory}: counted since {datetime.fromtimestamp(wear.since, UTC):%Y-%m-%d %H:%M} UTC; "
            "an estimate, since a crash loses up to an hour"
        )
        _amplification(console, wear.total)
        _rates(console, wear, rating, now)
    _space(console, found)
    if wear is not None:
        _reclaim(console, wear)
    _disk(console, found)
    return b"".join(line.rstrip().encode() + b"\n" for line in text.getvalue().splitlines())


def _amplification(console: "Console", total: Stats) -> None:
    payload = max(total.payload_bytes, 1)
    rows = [(name, count, f"{count / payload:.3f}", ABOUT[name]) for name, count in total.by_category.items()]
    title = f"write amplification {total.written_bytes / payload:.2f}: {size(total.written_bytes)} for {size(payload)}"
    _table(console, title, ("category", "bytes", "per byte", "what it is"), rows)
    groups = max(total.groups, 1)
    console.print(
        f"  {total.records} records in {total.groups} group commits ({total.records / groups:.1f} each), "
        f"{total.syncs} syncs"
    )


def _rates(console: "Console", wear: WriteHistory, rating: "Rating", now: float) -> None:
    rate, week = _both(wear, now)
    if not rate.days:
        console.print("  too little time was counted to tell bytes per day")
        return
    console.print(
        f"  {size(round(rate.bytes_per_day))} a day over {rate.days:.1f} days; "
        f"{size(round(week.bytes_per_day))} a day over the last {week.days:.1f}"
    )
    left = endurance(week, rating.bytes, rating.warranty_years)
    if left is not None:
        console.print(
            f"  rated {size(rating.bytes)}: {left.years:.1f} years at that rate, which is {left.share:.2%} of what the "
            f"rating allows over {rating.warranty_years:g} years; what others write comes on top"
        )


def _both(wear: WriteHistory, now: float) -> tuple[Rate, Rate]:
    rate = mean_rate(wear.total.written_bytes, wear.since, now)
    return rate, recent_rate(wear.days, wear.since, now)


def _space(console: "Console", found: "Found") -> None:
    about = {
        "live": "newest versions of keys",
        "history": "older versions and deletions that can be read",
        "dead": "compacted, for reclaim to give back",
        "other": "headers, padding, small records",
    }
    space = found.space._asdict()
    whole = max(sum(space.values()), 1)
    rows = [(name, count, f"{count / whole:.1%}", about[name]) for name, count in space.items()]
    _table(console, f"space {size(whole)}", ("state", "bytes", "share", "what it is"), rows)


def _reclaim(console: "Console", wear: WriteHistory) -> None:
    is_long = len(wear.days) > 1
    periods = [period for period in (wear.days if is_long else wear.hours) if _reclaims(period)][-_SHOWN:]
    if not periods:
        console.print("\nreclaim: has had nothing to give back")
        return
    rows = [
        (
            f"{datetime.fromtimestamp(period.start, UTC):{'%Y-%m-%d' if is_long else '%m-%d %H:00'}}",
            period.counts.reclaimed_bytes,
            size(period.counts.reclaim_bytes),
            f"{period.counts.reclaimed_segments} segments, {period.counts.recycled_segments} used again",
        )
        for period in periods
    ]
    title = f"reclaim by {'day' if is_long else 'hour'} (UTC)"
    _table(console, title, ("from", "given back", "rewritten", ""), rows)


def _reclaims(period: Period) -> bool:
    return bool(period.counts.reclaimed_segments or period.counts.recycled_segments)


def _disk(console: "Console", found: "Found") -> None:
    if not found.directory.is_dir():
        return
    device = look(found.directory)
    if device.written is not None:
        console.print(f"\ndisk {device.block}: {size(device.written)} written since the machine started, by everybody")


def _table(console: "Console", title: str, header: tuple[str, ...], rows: list[tuple[str, int, str, str]]) -> None:
    """Print a table whose second column is shown as a bar too."""
    from rich.bar import Bar
    from rich.table import Table

    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, name in enumerate((*header[:3], "", header[3])):
        table.add_column(name, justify="right" if number in (1, 2) else "left")
    most = max((row[1] for row in rows), default=0)
    for name, count, share, about in rows:
        table.add_row(f"  {name}", size(count), share, Bar(max(most, 1), 0, count, width=24, color="cyan"), about)
    console.print(table)


# -- JSON -------------------------------------------------------------------------------------------------------


def as_json(found: "Found", rating: "Rating", now: float) -> bytes:
    """Return the report for programs: one JSON object on one line."""
    import orjson

    fields: dict[str, object] = {
        "directory": str(found.directory),
        "space": {name: str(count) for name, count in found.space._asdict().items()},
    }
    wear = found.wear
    if wear is not None:
        rate, week = _both(wear, now)
        fields |= {
            "since": wear.since,
            "until": wear.until,
            "is_estimate": True,
            "total": _counts(wear.total),
            "bytes_per_day": rate.bytes_per_day,
            "bytes_per_day_lately": week.bytes_per_day,
            "endurance": _endurance(endurance(week, rating.bytes, rating.warranty_years)),
            "hours": [_period(period) for period in wear.hours],
            "days": [_period(period) for period in wear.days],
        }
    return orjson.dumps(fields) + b"\n"


def _counts(counts: Stats) -> dict[str, object]:
    payload = counts.payload_bytes
    return {
        "written": {category: str(counts.by_category[category]) for category in CATEGORIES},
        "written_bytes": str(counts.written_bytes),
        "payload_bytes": str(payload),
        "write_amplification": counts.written_bytes / payload if payload else None,
        "records": str(counts.records),
        "groups": str(counts.groups),
        "syncs": str(counts.syncs),
        "reclaimed_bytes": str(counts.reclaimed_bytes),
        "reclaimed_segments": str(counts.reclaimed_segments),
        "recycled_segments": str(counts.recycled_segments),
    }


def _period(period: Period) -> dict[str, object]:
    return {"start": str(period.start), **_counts(period.counts)}


def _endurance(left: Endurance | None) -> dict[str, object] | None:
    if left is None:
        return None
    return {"rated_bytes": str(left.rated_bytes), "years": left.years, "share_of_rating": left.share}
