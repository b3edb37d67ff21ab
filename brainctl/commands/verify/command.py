"""brainctl verify."""

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING

from brainctl.cli.command import single
from brainctl.cli.progress import keys, on_terminal, progress
from brainctl.cli.session import Session
from brainctl.cli.store_urls import compacted
from brainctl.client.failure import CommandFailed
from brainctl.clock import SystemClock
from brainctl.commands.verify.difference_file import DifferenceFile
from brainctl.commands.verify.options import VerifyOptions, parse
from brainctl.errors import ExitCode, Unsupported

if TYPE_CHECKING:
    from brainctl.commands.verify.opening import Opening, Pair
    from brainctl.verify.compare import Report


async def run(session: Session, order: VerifyOptions) -> None:
    """Compare, and report; or write a list.

    Raises:
        CommandFailed: There are differences.
    """
    from brainctl.commands.verify.opening import Opening

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported("verify reports in the formats simple and json")
    async with AsyncExitStack() as stack:
        opening = Opening(session, order.pd, order.tikv_prefix, order.scope(), stack)
        if order.export:
            await _export(session, order, opening)
            return
        numbers = count(1)
        while True:
            different = await _round(session, order, opening, next(numbers))
            if order.interval is None or (different and order.exit_on_difference):
                break
            await asyncio.sleep(order.interval)
    if different:
        raise CommandFailed(different, ExitCode.DIFFERENT)


async def _round(session: Session, order: VerifyOptions, opening: "Opening", number: int) -> str:
    """Compare all pairs for the `number`-th time; return words for the differences, empty when there are none."""
    found: list[tuple[Pair, Report]] = []
    with DifferenceFile(order.differences) as file:
        async for pair in opening.pairs(order):
            report = await _compare(pair, order, opening, file)
            _show(session, order, pair, report)
            found.append((pair, report))
    if order.html:
        from brainctl.commands.verify.html_report import write_html

        write_html(order.html, [(pair.names, report) for pair, report in found])
    if order.metrics:
        from brainctl.commands.verify.metrics_file import write_metrics

        write_metrics(order.metrics, number, [(pair.names, report) for pair, report in found], SystemClock().wall())
    different = sum(report.different for _, report in found)
    if order.fix and different:
        from brainctl.commands.verify.fixing import fix

        different -= await fix(session, order, *found[0])
    if not different:
        return ""
    some = "1 difference" if different == 1 else f"{different} differences"
    return f"{some} at revision {max(report.revision for _, report in found if report.different)}"


async def _compare(pair: "Pair", order: VerifyOptions, opening: "Opening", file: DifferenceFile) -> "Report":
    """Compare two sides."""
    from brainctl.commands.verify.progress_file import ProgressFile
    from brainctl.commands.verify.report import revisions
    from brainctl.verify.compare import Comparison

    kept = ProgressFile(order, SystemClock()) if order.checkpoint else None
    comparison = Comparison(
        pair.expected,
        pair.found,
        SystemClock(),
        scope=order.scope(),
        live=order.live,
        leases=order.leases,
        auth=order.auth,
        max_lag=order.max_lag,
        history=order.history,
        rate=order.rate,
        resume=kept.read() if kept else None,
    )
    comparison.on_difference = file.add
    if kept:
        comparison.on_reached = kept.reached
    total = await opening.keys(pair.expected) if on_terminal() else 0
    with (
        compacted(lambda: f"no revision can be read on both sides: {revisions(comparison.newest)}"),
        progress("comparing", keys) as shown,
    ):
        comparison.on_progress = lambda compared: shown(compared, total)
        report = await comparison.run()
    if kept:
        kept.complete()
    return report


def _show(session: Session, order: VerifyOptions, pair: "Pair", report: "Report") -> None:
    """Write the report of a pair to standard output."""
    from brainctl.commands.verify.report import as_json, as_text

    names = dict(zip(("from", "to"), pair.names, strict=True)) if order.members else {}
    if session.settings.write_out == "json":
        session.write(as_json(report, names))
    else:
        session.write((f"{pair.names[0]} and {pair.names[1]}:\n".encode() if names else b"") + as_text(report))


async def _export(session: Session, order: VerifyOptions, opening: "Opening") -> None:
    """Write the list of the keys of a store."""
    from brainctl.commands.verify.lists import write_list

    written = await write_list(await opening.side(order.source, "--from"), order.scope(), order.export)
    session.say(
        f"{written.keys} keys and {written.leases} leases at revision {written.revision} listed in {order.export}, "
        f"state hash {written.hash.hex()}"
    )


app = single("verify", parse, run)
