"""brainctl check history: a recorded history against etcd's promises."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from brainctl.cli.progress import progress
from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.clock import SystemClock
from brainctl.errors import BadArguments, ExitCode, Unsupported

if TYPE_CHECKING:
    from brainctl.check.examine import Finding

READ_BYTES = 1 << 20
"""How much of a file is read at once, in bytes."""


class Plan(NamedTuple):
    """What to check, and where to write what was found."""

    file: Path
    junit: Path | None
    counterexample: Path | None


def parse(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="a recorded history")] = None,
    junit: Annotated[str, typer.Option("--junit", metavar="FILE", help="write the verdict as JUnit XML too")] = "",
    counterexample: Annotated[
        str, typer.Option("--counterexample", metavar="FILE", help="write the smallest part that shows a violation")
    ] = "",
) -> Plan:
    """Check a recorded history against the promises of etcd.

    Linearizability of every operation, reads of the past, watches, leases, locks, and the hashes of members. Exit code
    0 says that all promises were kept, 7 that one was broken, 15 that too many outcomes are unknown to tell.
    """
    if not files or len(files) > 1:
        raise BadArguments("check history needs one FILE")
    return Plan(Path(files[0]), Path(junit) if junit else None, Path(counterexample) if counterexample else None)


def run(session: Session, plan: Plan) -> None:
    """Check, and report."""
    from brainctl.commands.check import report

    if session.settings.write_out not in ("simple", "json"):
        raise Unsupported("check history reports in the formats simple and json")
    clock = SystemClock()
    began = clock.monotonic()
    finding = _examined(plan.file)
    seconds = clock.monotonic() - began
    _save(plan, finding, seconds)
    written = report.json if session.settings.write_out == "json" else report.text
    session.write(written(finding, seconds))
    verdict = finding.verdict
    if verdict.found:
        some = "1 contradiction" if verdict.found == 1 else f"{verdict.found} contradictions"
        raise CommandFailed(f"{some} in {plan.file}", ExitCode.DIFFERENT)
    if verdict.undecided:
        raise CommandFailed(verdict.undecided, ExitCode.UNKNOWN_OUTCOME)


def _examined(path: Path) -> "Finding":
    from brainctl.check.examine import examine
    from brainctl.check.file import read_header, read_lines

    with path.open("rb", READ_BYTES) as file, _no_garbage(), progress("checking", _lines) as shown:
        header = read_header(file.readline())
        return examine(header, read_lines(file), lambda done: shown(done, 0))


def _save(plan: Plan, finding: "Finding", seconds: float) -> None:
    """Write the files that were asked for."""
    from brainctl.check.file import header_bytes, line_bytes
    from brainctl.commands.check import report

    if plan.junit is not None:
        plan.junit.write_bytes(report.junit(finding, str(plan.file), seconds))
    small = finding.counterexample
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
