"""brainctl man."""

import os
from pathlib import Path
from typing import Annotated

import typer

from brainctl.cli.command import command, group
from brainctl.cli.session import Session
from brainctl.cli.share import data_home, install, shared


def parse(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="DIR",
            help="directory to install into, such as /usr/local/share/man/man1 [~/.local/share/man/man1]",
        ),
    ] = "",
) -> Path:
    """Write the manual pages where man finds them: ~/.local/share/man/man1, or the directory of --to.

    man finds the pages of ~/.local/share/man when ~/.local/bin is in PATH.
    """
    return Path(to) if to else data_home(os.environ) / "man" / "man1"


def run(session: Session, directory: Path) -> None:
    """Install the pages and print how many, and where."""
    written = install(shared("man"), directory)
    session.say(f"{len(written)} manual pages installed in {directory}")


app = group("Install the manual pages.")
app.command("install")(command(parse, run))
