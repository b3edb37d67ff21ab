"""brainctl watch."""

import asyncio
import os
import sys
import threading
from typing import Annotated, NamedTuple

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from brainctl.cli.command import prepare, single
from brainctl.cli.etcdctl_dialect import etcdctl_text, translate
from brainctl.cli.options import PrevKv
from brainctl.cli.session import Session
from brainctl.cli.settings import read_int
from brainctl.client.failure import CommandFailed
from brainctl.commands.txn.text import words
from brainctl.commands.watch.arguments import Flags, environment_keys, wanted
from brainctl.commands.watch.streams import ChildFailed, Watching
from brainctl.errors import BadArguments, ExitCode, InvalidInput

_BLOCK = 65536


class WatchOptions(NamedTuple):
    """Options of `brainctl watch`."""

    args: list[str]
    flags: Flags
    interactive: bool


def parse(
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY [RANGE_END]] [-- COMMAND [ARG...]]", show_default=False),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("-i", "--interactive/--no-interactive", help="read watches from standard input")
    ] = False,
    prefix: Annotated[bool, typer.Option("--prefix", help="select all keys that start with KEY")] = False,
    rev: Annotated[
        str, typer.Option("--rev", metavar="int", help="first revision to show (0: only what happens from now on)")
    ] = "0",
    prev_kv: PrevKv = False,
    progress_notify: Annotated[
        bool, typer.Option("--progress-notify", help="ask the server for progress notifications while nothing changes")
    ] = False,
) -> WatchOptions:
    """Show the changes of KEY, or of the keys from KEY up to RANGE_END, as they happen.

    COMMAND is run for each event and finds it in ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and
    ETCD_WATCH_VALUE. The key may come from ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END.
    """
    return WatchOptions(args or [], Flags(prefix, read_int(rev, "--rev"), prev_kv, progress_notify), interactive)


async def run(session: Session, plan: WatchOptions) -> None:
    """Watch until the server ends it, or for ever."""
    keys = environment_keys(os.environ)
    first = None if plan.interactive else wanted(plan.args, session.argv, keys, plan.flags)
    async with session.open() as store:
        watching = Watching(session, store)
        try:
            if first is None:
                await _interact(session, watching, keys, plan.flags)
                return
            watching.add(first)
            await watching.follow(lambda: watching.is_empty)
        except ChildFailed as error:
            session.warn(str(error))
            raise typer.Exit(1) from None
    raise CommandFailed("watch is canceled by the server", ExitCode.INTERRUPTED)


async def _interact(session: Session, watching: Watching, keys: list[str], flags: Flags) -> None:
    """Take lines, `watch ...` and `progress`, until there are no more."""
    following = asyncio.ensure_future(watching.follow(lambda: False))
    lines = _stdin_lines()
    try:
        while True:
            coming = asyncio.ensure_future(lines.get())
            await asyncio.wait({following, coming}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                coming.cancel()
                following.result()
            _execute(session, watching, _line(coming.result()), keys, flags)
    finally:
        following.cancel()


def _line(data: bytes) -> str:
    if not data.endswith(b"\n"):
        raise InvalidInput("error reading watch request line: EOF")
    return data[:-1].decode(errors="surrogateescape")


def _execute(session: Session, watching: Watching, line: str, keys: list[str], flags: Flags) -> None:
    args = words(line)
    match args[:1]:
        case []:
            session.warn(f"Invalid command: {line} (watch and progress supported)")
        case ["watch"] if len(args) < 2 and not keys:
            session.warn(f"Invalid command {line} (command type or key is not provided)")
        case ["watch"]:
            plan = _parse_line(args[1:])
            own = plan.flags._replace(progress_notify=flags.progress_notify)
            watching.add(wanted(plan.args, args, keys, own))
        case ["progress"]:
            watching.request_progress()
        case _:
            session.warn(f"Invalid command {line} (only support watch)")


def _parse_line(args: list[str]) -> WatchOptions:
    """Return the watch that a line of an interactive session asks for.

    Raises:
        BadArguments: the line cannot be read, which ends the session, as in etcdctl.
    """
    line_app = typer.Typer(add_completion=False, rich_markup_mode=None)
    line_app.command("watch")(parse)
    command = typer.main.get_command(line_app)
    assert isinstance(command, TyperCommand)
    prepare(command)
    try:
        plan = command.main(args=translate(args), prog_name="watch", standalone_mode=False)
    except TyperException as error:
        text = etcdctl_text(error.format_message(), getattr(error, "option_name", ""), args, "watch")
        raise BadArguments(text) from None
    assert isinstance(plan, WatchOptions)
    return plan


def _stdin_lines() -> asyncio.Queue[bytes]:
    """Return a queue of the lines of standard input as they are typed; the last one has no newline.

    A thread reads them, because standard input may be a file. It reads the descriptor itself: a thread inside of
    sys.stdin would keep the lock of that object, and the interpreter could not end.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    descriptor = sys.stdin.fileno()

    def read() -> None:
        rest = b""
        while data := os.read(descriptor, _BLOCK):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                loop.call_soon_threadsafe(lines.put_nowait, line + b"\n")
        loop.call_soon_threadsafe(lines.put_nowait, rest)

    threading.Thread(target=read, name="standard input", daemon=True).start()
    return lines


app = single("watch", parse, run)
