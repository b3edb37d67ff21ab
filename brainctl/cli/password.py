"""New passwords: asked for twice, or read from a file or from standard input, so that none needs to be an argument."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from brainctl.cli.interrupt import asking
from brainctl.cli.session import Session
from brainctl.errors import BadArguments, InvalidInput

PasswordFile = Annotated[
    str, typer.Option("--password-file", metavar="FILE", help="read the password from FILE (-: standard input)")
]
Interactive = Annotated[
    bool,
    typer.Option("--interactive/--no-interactive", help="ask for the password, or read it from standard input"),
]


class PasswordSource(NamedTuple):
    """Source of a new password."""

    file: str
    interactive: bool


def new_password(session: Session, name: str, source: PasswordSource) -> str:
    """Read the new password of the user `name`: one line, without its end.

    Raises:
        BadArguments: it is empty, or differs when it is typed again.
        InvalidInput: it is not UTF-8.
        OSError: the file cannot be read.
    """
    if source.file and source.file != "-":
        return _line(Path(source.file).read_bytes())
    if source.file or not source.interactive:
        return _line(_typed())
    ask = session.ask if sys.stdin.isatty() else _asker(session)
    password = ask(f"Password of {name}: ")
    if not password:
        raise BadArguments("empty password")
    if ask(f"Type password of {name} again for confirmation: ") != password:
        raise BadArguments("given passwords are different")
    return password


def _asker(session: Session) -> Callable[[str], str]:
    """Ask without a terminal: the question on standard output, the answer a line of standard input."""

    def ask(question: str) -> str:
        session.write(question.encode())
        answer = _line(_typed())
        session.write(b"\n")
        return answer

    return ask


def _typed() -> bytes:
    with asking():
        return sys.stdin.buffer.readline()


def _line(data: bytes) -> str:
    line = data.partition(b"\n")[0].removesuffix(b"\r")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InvalidInput("the password is not UTF-8") from None
