"""The preview of --fix, the question, and what was written."""

import sys
from typing import TYPE_CHECKING

from brainctl.cli.interrupt import asking
from brainctl.cli.session import Session
from brainctl.client.failure import CommandFailed
from brainctl.commands.verify.options import VerifyOptions
from brainctl.errors import ExitCode
from brainctl.verify.fix import Step, apply, plan, target_of

if TYPE_CHECKING:
    from brainctl.commands.verify.opening import Pair
    from brainctl.verify.compare import Report


async def fix(session: Session, order: VerifyOptions, pair: "Pair", report: "Report") -> int:
    """Show what makes the second store equal, write it once confirmed, and return how many differences were repaired.

    Raises:
        CommandFailed: It is not confirmed, or nobody can be asked.
        InvalidInput: The second side cannot be written, or the first has no values.
    """
    store = target_of(pair.found)
    steps, left = await plan(pair.expected, store, report.differences, report.revision, order.scope())
    for step in steps:
        session.warn(_preview(step))
    if left:
        session.warn(f"{left} differences are not of values or leases of keys, or repaired already: nothing to write")
    if not steps:
        return 0
    if not order.yes:
        _confirm(f"--fix writes {len(steps)} keys of {pair.names[1]}")
    written, changed = await apply(store, steps)
    for key in changed:
        session.warn(f"left as it is, because it changed meanwhile or its lease is not there: {_text(key)}")
    session.warn(f"{written} keys written; compare again")
    return written


def _preview(step: Step) -> str:
    """Return a line that says what a step does."""
    if step.wanted is None:
        return f"delete {_text(step.key)}"
    lease = f", lease {step.wanted.lease:016x}" if step.wanted.lease else ""
    return f"put    {_text(step.key)} ({len(step.wanted.value)} bytes{lease})"


def _confirm(what: str) -> None:
    """Ask at the terminal.

    Raises:
        CommandFailed: The answer is no, or nobody can be asked.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandFailed(f"{what}: add --yes", ExitCode.DIFFERENT)
    sys.stderr.write(f"{what}. Go on? [y/N] ")
    sys.stderr.flush()
    with asking():
        answer = sys.stdin.readline()
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was changed", ExitCode.DIFFERENT)


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
