"""Command lines that etcdctl and brainctl must answer alike."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
_ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)


class Line(NamedTuple):
    """One command line of a transcript."""

    number: int
    text: str
    argv: list[str]
    environment: dict[str, str]
    stdin: bytes


def names() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.txt"))


def read(name: str) -> list[Line]:
    lines: list[Line] = []
    for number, text in enumerate((HERE / f"{name}.txt").read_text().splitlines(), 1):
        if text.startswith("<"):
            lines[-1] = lines[-1]._replace(stdin=lines[-1].stdin + _unescape(text[2:]))
        elif text and not text.startswith("#"):
            command, _, _comment = text.partition(" # ")
            words = [_unescape(word).decode() for word in shlex.split(command.replace("\\", "\\\\"))]
            environment = {}
            while (match := _ASSIGNMENT.fullmatch(words[0])) is not None:
                environment[match[1]] = match[2]
                del words[0]
            lines.append(Line(number, text, words, environment, b""))
    return lines


def _unescape(text: str) -> bytes:
    """The escapes of Python, in text that may hold any character."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode()
