"""The log of a server, on standard error: --log-level and --log-format, with etcd's names."""

import json
import logging
from datetime import UTC, datetime
from typing import Final

from brainctl.errors import BadArguments
from brainctl.log import Fact

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "dpanic": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
FORMATS: Final = ("console", "json")
FEW: Final = 10
"""Entries with the same words that are written in a window."""
WINDOW_SECONDS: Final = 60
"""The length of a window; the first begins with the epoch of Unix."""
_NAMES: Final = {logging.WARNING: "warn", logging.CRITICAL: "fatal"}


def check_log(level: str, form: str) -> None:
    """Raise BadArguments for a level or a format that there is not."""
    if level not in LEVELS:
        raise BadArguments(f"--log-level: {level!r} is none of {', '.join(LEVELS)}")
    if form not in FORMATS:
        raise BadArguments(f"--log-format: {form!r} is none of {', '.join(FORMATS)}")


def start_log(level: str, form: str) -> None:
    """Write what is logged from now on to standard error, a line for each entry.

    Above level debug a client that fails again and again does not fill the disk of the log: of the same words FEW
    entries are written in a minute.
    """
    handler = logging.StreamHandler()
    if level != "debug":
        handler.addFilter(_Floods())
    handler.setFormatter(_Json() if form == "json" else _Console())
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)


class _Floods(logging.Filter):
    """Passes FEW entries with the same words in each window; the next window begins with the number of the others."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[int, int]] = {}
        """Last window in which words were logged, and how often in it, by the words."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether an entry is written; the last that is, and the first after others were not, say so."""
        fact = record.msg
        if not isinstance(fact, Fact):
            return True
        window = int(record.created) // WINDOW_SECONDS
        last, count = self._seen.get(fact.text, (window, 0))
        if last != window and count > FEW:
            fact.fields["left-out"] = count - FEW
        count = count + 1 if last == window else 1
        self._seen[fact.text] = window, count
        if count == FEW:
            fact.fields["more"] = "left out for up to a minute"
        return count <= FEW


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, record.levelname.lower())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Console(logging.Formatter):
    """Time, level, words, fields as name=value; then the stack of an exception."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """Return the line of an entry."""
        return f"{_time(record)} {_level(record)} {record.message}"


class _Json(logging.Formatter):
    """An object on one line, with the names that etcd's log has and a member for each field."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of an entry."""
        fact = record.msg if isinstance(record.msg, Fact) else Fact(record.getMessage())
        entry = {"level": _level(record), "ts": _time(record), "logger": record.name, "msg": fact.text, **fact.fields}
        if record.exc_info:
            entry["stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(entry)
