"""brainctl flash report."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer

from brainctl.cli.byte_sizes import read_bytes
from brainctl.cli.debug_request import fetch, served_at
from brainctl.cli.session import Session
from brainctl.clock import SystemClock
from brainctl.commands.store.fields import StoreArgument, store_url
from brainctl.errors import BadArguments, InvalidInput, Unsupported
from brainctl.stores.urls import directory_of

if TYPE_CHECKING:
    from brainctl.engine.write_history import WriteHistory
    from brainctl.node.jobs.write_history import Space

PATH = "/debug/wear"
TIMEOUT_SECONDS = 120.0


class Rating(NamedTuple):
    """Rating of the disk."""

    bytes: int
    """Bytes that the disk is rated to take in its life; 0 when that is not known."""
    warranty_years: float


class Report(NamedTuple):
    """Options of `brainctl flash report`: the store, the rating, and the plot."""

    url: str
    rating: Rating
    plot: Path | None


class Found(NamedTuple):
    """Figures of a store."""

    directory: Path
    wear: "WriteHistory | None"
    space: "Space"


def parse_report(
    args: StoreArgument = None,
    rated_tbw: Annotated[
        str,
        typer.Option(
            "--rated-tbw", metavar="bytes", help="bytes that the disk is rated to take in its life, such as 300TB"
        ),
    ] = "",
    rated_dwpd: Annotated[
        str,
        typer.Option(
            "--rated-dwpd",
            metavar="number",
            help="rating of the disk in drive writes per day, instead of --rated-tbw",
        ),
    ] = "",
    capacity: Annotated[
        str, typer.Option("--capacity", metavar="bytes", help="size of the drive in bytes, for --rated-dwpd")
    ] = "",
    warranty_years: Annotated[
        str, typer.Option("--warranty-years", metavar="number", help="number of years that --rated-dwpd is meant for")
    ] = "5",
    plot: Annotated[
        str, typer.Option("--plot", metavar="FILE", help="file to draw the writes by day into, .svg or .png")
    ] = "",
) -> Report:
    """Show what a store has written to its disk and why, for how long the disk lasts so, and what takes its space.

    STORE is a directory, or what --store or the first of --endpoints names when it is missing; a server tells it to its
    own machine only. The counts are those since the store was made, as far as they were kept: a crash loses an hour at
    most. They are of what the store gives to the file system, which writes some more for itself.
    """
    if args and len(args) > 1:
        raise BadArguments("flash report command needs one store at most")
    if rated_tbw and rated_dwpd:
        raise BadArguments("--rated-tbw and --rated-dwpd say the same in two ways; which one?")
    if bool(rated_dwpd) != bool(capacity):
        raise BadArguments("--rated-dwpd needs --capacity, and is what that is for")
    years = _number(warranty_years, "--warranty-years")
    rated = read_bytes(rated_tbw, "--rated-tbw") if rated_tbw else 0
    if rated_dwpd:
        from brainctl.flash.endurance import rated_by_dwpd

        rated = rated_by_dwpd(_number(rated_dwpd, "--rated-dwpd"), read_bytes(capacity, "--capacity"), years)
    return Report(store_url(args[0]) if args else "", Rating(rated, years), Path(plot) if plot else None)


async def report(session: Session, plan: Report) -> None:
    """Ask the server, or read the directory."""
    from brainctl.commands.flash import lines

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported(f"{session.settings.write_out} not supported as output format")
    url = plan.url or session.settings.store
    endpoint = served_at(session, url)
    found = await asyncio.to_thread(_ask, session, endpoint) if endpoint else _read(session, url)
    now = SystemClock().wall()
    if session.settings.write_out == "json":
        session.write(lines.as_json(found, plan.rating, now))
    else:
        session.write(lines.as_text(found, plan.rating, now))
    if plan.plot is not None:
        _draw(plan.plot, found)


def _ask(session: Session, endpoint: str) -> Found:
    from brainctl.engine.stats import Stats
    from brainctl.engine.write_history import Period, WriteHistory
    from brainctl.node.jobs.write_history import Space

    told = fetch(session, endpoint, PATH, seconds=TIMEOUT_SECONDS)
    row = cast("dict[str, object]", told["wear"])
    hours, days = (
        [
            Period(cast("int", period["start"]), Stats(**cast("dict[str, int]", period["counts"])))
            for period in cast("list[dict[str, object]]", row[kind])
        ]
        for kind in ("hours", "days")
    )
    total = Stats(**cast("dict[str, int]", row["total"]))
    wear = WriteHistory(cast("float", row["since"]), cast("float", row["until"]), total, hours, days)
    return Found(Path(str(told["directory"])), wear, Space(**cast("dict[str, int]", told["space"])))


def _read(session: Session, url: str) -> Found:
    from brainctl.engine.offline.info import read_info
    from brainctl.engine.recovery import store_directory
    from brainctl.engine.write_history import load
    from brainctl.mvcc.record_names import CHECKPOINT
    from brainctl.node.jobs.write_history import Space

    directory = directory_of(url)
    if directory is None:
        raise InvalidInput(f"{url} has no files on this machine: only a directory, or its server, can be asked")
    store_directory.must_be_store(directory)
    info = read_info(directory)
    session.admission.to_read(info.records.get(CHECKPOINT), url)
    segments = info.segments
    live, history, dead = (sum(getattr(part, name) for part in segments) for name in ("live", "history", "dead"))
    used = sum(part.used for part in segments)
    return Found(directory, load(directory), Space(live, history, dead, max(used - live - history - dead, 0)))


def _draw(path: Path, found: Found) -> None:
    from brainctl.commands.flash.lines import day
    from brainctl.engine.stats import CATEGORIES
    from brainctl.output import plot

    if found.wear is None or not found.wear.days:
        raise InvalidInput(f"{found.directory} has no counts to draw yet")
    days = found.wear.days[-30:]
    series = {
        category: [period.counts.by_category[category] / 1e6 for period in days]
        for category in CATEGORIES
        if any(period.counts.by_category[category] for period in days)
    }
    series["key-values"] = [period.counts.payload_bytes / 1e6 for period in days]
    plot.bars(path, "Written to the disk by day", "MB", [day(period.start) for period in days], series)


def _number(text: str, flag: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise BadArguments(f"{flag}: {text!r} is no number above 0")
    return value
