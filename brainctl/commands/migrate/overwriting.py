"""The question before --overwrite empties a target that holds data."""

import sys

from brainctl.cli.interrupt import asking
from brainctl.cli.store_urls import must_exist
from brainctl.client.failure import CommandFailed
from brainctl.errors import BrainctlError, ExitCode


async def confirm(url: str, *, even_if_served: bool) -> None:
    """Ask at the terminal whether the store at `url` may be emptied, if it holds data.

    A store that cannot be looked at, or that a process has, is left to the migration, which says so.

    Raises:
        CommandFailed: It may not, or nobody can be asked.
    """
    found = await _holdings(url, even_if_served=even_if_served)
    if not found:
        return
    holds = f"{url} holds data ({found}), which --overwrite removes"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandFailed(f"{holds}: add --yes", ExitCode.NOT_EMPTY)
    sys.stderr.write(f"{holds}. Go on? [y/N] ")
    sys.stderr.flush()
    with asking():
        answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was changed", ExitCode.NOT_EMPTY)


async def _holdings(url: str, *, even_if_served: bool) -> str:
    """Return in words what a store holds; "" when it is empty, or a process has it."""
    from brainctl.stores.registry import open_replica

    try:
        must_exist(url)
        target = await open_replica(url)
    except BrainctlError:
        return ""
    try:
        migrated = await target.checkpoint() is not None
        if not migrated and await target.is_empty():
            return ""
        if not even_if_served and await target.served_by(or_migrated=True):
            return ""
        return f"revision {target.revision}{', from a migration' if migrated else ''}"
    finally:
        await target.close()
