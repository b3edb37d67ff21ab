"""brainctl check history: a history, recorded now or before, against etcd's promises."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli import interrupt
from brainctl.cli.options import raw
from brainctl.cli.progress import progress
from brainctl.cli.session import Session
from brainctl.cli.settings import read_duration, read_int
from brainctl.client.failure import CommandFailed
from brainctl.clock import SystemClock
from brainctl.commands.check.record import Load, record
from brainctl.errors import BadArguments, BrainctlError, ExitCode, Unsupported

if TYPE_CHECKING:
    from brainctl.check.examine import Finding
    from brainctl.client.recorder.recording import Recorded

NAMES = ("kv", "kubernetes", "lease", "watch", "lock")
"""The workloads that can be recorded."""
_DEFAULTS = {"clients": 10, "rate": 200}
_SECONDS = 60.0


class Plan(NamedTuple):
    """Options of `brainctl check history`: the file to check, and where to write the findings."""

    file: Path
    record: Load | None
    """None for a file that is there already."""
    junit: Path | None
    counterexample: Path | None
    timeline: Path | None


def parse(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="a recorded history")] = None,
    record_to: Annotated[
        str, typer.Option("--record", metavar="FILE", help="record a history of --endpoints first")
    ] = "",
    workload: Annotated[
        str, typer.Option("--workload", metavar="|".join(NAMES), help="what the recorded clients do [kv]")
    ] = "kv",
    duration: Annotated[str, typer.Option("--duration", metavar="duration", help="time to record for [60s]")] = "",
    clients: Annotated[str, typer.Option("--clients", metavar="int", help="how many clients work at once [10]")] = "",
    rate: Annotated[str, typer.Option("--rate", metavar="int", help="operations per second [200]")] = "",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="string", help="prefix of all keys that are touched [one of its own]")
    ] = "",
    compact: Annotated[
        bool, typer.Option("--compact", help="compact the store now and then: the whole history, that of others too")
    ] = False,
    junit: Annotated[str, typer.Option("--junit", metavar="FILE", help="write the verdict as JUnit XML too")] = "",
    counterexample: Annotated[
        str, typer.Option("--counterexample", metavar="FILE", help="write the smallest part that shows a violation")
    ] = "",
    timeline: Annotated[
        str, typer.Option("--timeline", metavar="FILE", help="draw that part: FILE ends in .html or .svg")
    ] = "",
) -> Plan:
    """Check whether a store keeps the promises of etcd, by what its clients were told.

    FILE is a recorded history: brainctl's own, a Jepsen history of registers (its name ends in .edn), or a directory
    with the report of etcd's robustness tests. With --record, one of the endpoints is recorded first, in a prefix of
    its own that must be empty and is emptied at the end. Linearizability of every operation, reads of the past,
    watches, leases, locks, and the hashes of members are checked. Exit code 0 says that all promises were kept, 7 that
    one was broken, 15 that too many outcomes are unknown to tell, 17 that less was loaded than asked for.
    """
    if bool(record_to) == bool(files) or len(files or ()) > 1:
        raise BadArguments("check history needs one FILE, or --record FILE")
    load = None
    if record_to:
        load = Load(
            _workload(workload),
            _positive(clients, "clients"),
            _positive(rate, "rate"),
            read_duration(duration, "--duration") if duration else _SECONDS,
            _prefix(prefix),
            compact,
        )
    file = Path(record_to or (files or [""])[0])
    if timeline and Path(timeline).suffix not in (".html", ".svg"):
        raise BadArguments("--timeline needs a FILE that ends in .html or .svg")
    return Plan(file, load, *(Path(name) if name else None for name in (junit, counterexample, timeline)))


def run(session: Session, plan: Plan) -> None:
    """Record if asked to, check, and report."""
    from brainctl.commands.check import report

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported("check history reports in the formats simple and json")
    clock = SystemClock()
    recorded = _recorded(session, plan, plan.record) if plan.record is not None else None
    began = clock.monotonic()
    finding = _examined(plan.file)
    seconds = clock.monotonic() - began
    shortfall = recorded.shortfall if recorded else ""
    _save(plan, finding, seconds, shortfall)
    written = report.json if session.settings.write_out == "json" else report.text
    session.write(written(finding, seconds))
    verdict = finding.verdict
    if verdict.found:
        some = "1 contradiction" if verdict.found == 1 else f"{verdict.found} contradictions"
        raise CommandFailed(f"{some} in {plan.file}", ExitCode.DIFFERENT)
    if verdict.undecided:
        raise CommandFailed(verdict.undecided, ExitCode.UNKNOWN_OUTCOME)
    if shortfall:
        raise CommandFailed(shortfall, ExitCode.TOO_SLOW)
    if recorded and recorded.stopped:
        raise typer.Exit(ExitCode.SIGINT)


def _recorded(session: Session, plan: Plan, load: Load) -> "Recorded":
    """Record a history of the endpoints into the file, which must not exist."""
    done: list[Recorded] = []
    with plan.file.open("xb") as file:

        async def whole() -> None:
            done.append(await record(session, load, file.write))

        try:
            interrupt.run(whole)
        except BrainctlError:
            plan.file.unlink()
            raise
    (recorded,) = done
    if recorded.left_behind:
        session.warn(f"warning: the keys of the recording could not be deleted: {recorded.left_behind}")
    return recorded


def _examined(path: Path) -> "Finding":
    from brainctl.commands.check.sources import examined

    with _no_garbage(), progress("checking", _lines) as shown:
        return examined(path, lambda done: shown(done, 0))


def _save(plan: Plan, finding: "Finding", seconds: float, shortfall: str) -> None:
    """Write the files that were requested."""
    from brainctl.check import draw
    from brainctl.check.file import header_bytes, line_bytes
    from brainctl.commands.check import report

    if plan.junit is not None:
        plan.junit.write_bytes(report.junit(finding, str(plan.file), seconds, shortfall))
    small = finding.counterexample
    if plan.timeline is not None and small is not None:
        picture = draw.svg(small) if plan.timeline.suffix == ".svg" else draw.html(small)
        plan.timeline.write_text(picture)
    if plan.counterexample is not None and small is not None:
        plan.counterexample.write_bytes(header_bytes(small.header) + b"".join(map(line_bytes, small.lines)))


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Look for no cyclic garbage in the block: lines make none, and there are very many of them."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _lines(count: int) -> str:
    return f"{count} lines"


def _workload(name: str) -> str:
    if name not in NAMES:
        raise Unsupported(f"unknown workload {name}: {', '.join(NAMES)} are known")
    return name


def _positive(text: str, name: str) -> int:
    value = read_int(text, f"--{name}") if text else _DEFAULTS[name]
    if value < 1:
        raise BadArguments(f"--{name} must be 1 at least")
    return value


def _prefix(text: str) -> str:
    """Return --prefix as a history has it, with a slash at its end; a new name without it."""
    if not text:
        return ""
    return raw(text).decode("latin-1").rstrip("/") + "/"
