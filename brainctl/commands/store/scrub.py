"""brainctl store scrub."""

import asyncio
from typing import cast

import typer

from brainctl.cli.debug_request import fetch, served_at
from brainctl.cli.session import Session
from brainctl.commands.store.fields import StoreArgument, show, store_url
from brainctl.errors import BadArguments, ExitCode, InvalidInput

PATH = "/debug/scrub"
POLL_SECONDS = 0.1


def parse_scrub(args: StoreArgument = None) -> str:
    """Have the server that holds STORE read all that is on its disk, past the page cache, and wait until it has.

    STORE is the directory, --store, or the first of --endpoints when it is missing; it must be on this machine. Reads
    and writes go on. What has rotted goes to standard error with its file and offset, the server raises the alarm
    CORRUPT, and this ends with 12. A server does the same by itself now and then (serve --scrub-interval), no faster
    than --scrub-rate. `store check` reads a store that is not served, and proves more.
    """
    if args and len(args) > 1:
        raise BadArguments("store scrub command needs one store at most")
    return store_url(args[0]) if args else ""


async def scrub(session: Session, url: str) -> None:
    """Begin a pass, or join the one that is under way, and wait."""
    url = url or session.settings.store
    endpoint = served_at(session, url)
    if not endpoint:
        raise InvalidInput(f"nobody serves {url}: `brainctl store check` reads it")
    state = await asyncio.to_thread(fetch, session, endpoint, PATH, "POST")
    while state["running"]:
        await asyncio.sleep(POLL_SECONDS)
        state = await asyncio.to_thread(fetch, session, endpoint, PATH)
    findings = cast("list[str]", state["findings"])
    for finding in findings:
        session.warn(finding)
    for path in cast("list[str]", state["skipped"]):
        session.warn(f"{path}: not checked, because it was replaced all the time")
    verdict = "damaged" if findings else "not checked whole" if state["skipped"] else "sound"
    show(
        session, {"store": endpoint, "state": verdict, "passes": str(state["passes"]), "size read": str(state["bytes"])}
    )
    if findings:
        raise typer.Exit(ExitCode.DAMAGED)
