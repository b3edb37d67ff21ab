"""The log: every entry is a fact, constant words with named fields, and docs/logs.md lists all of them."""

import ast
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from brainctl.commands.serve.log import start_log
from brainctl.log import Fact

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {"debug": "debug", "info": "info", "warning": "warn", "error": "error", "exception": "error"}
ROW = re.compile(r"^\| (\w+) \| ([^|`]+) \| ([^|]*)\| ([^|]+) \|$", re.MULTILINE)


class Entry(NamedTuple):
    """What a call of the log says."""

    level: str
    text: str
    fields: frozenset[str]


def calls(source: str) -> Iterator[Entry]:
    """Yield what a module logs.

    Raises:
        ValueError: an entry is something else than constant words with named fields.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="_log"), attr=attr), args=[*before, last]):
                match last:
                    case ast.Call(func=ast.Name(id="Fact"), args=[ast.Constant(value=str(text))], keywords=fields):
                        level = "warn, debug" if before else LEVELS[attr]
                        names = frozenset((field.arg or "**").replace("_", "-") for field in fields)
                        yield Entry(level, text, names)
                    case _:
                        raise ValueError(ast.unparse(node))


def logged() -> set[Entry]:
    return {entry for path in (ROOT / "brainctl").rglob("*.py") for entry in calls(path.read_text())}


def documented() -> Iterator[Entry]:
    rows = ROW.findall((ROOT / "docs/logs.md").read_text())
    for level, text, fields, _ in rows:
        if level != "level":
            yield Entry(level, text, frozenset(re.findall(r"`([^`]+)`", fields)))


def test_the_page_lists_every_fact() -> None:
    found = {entry if "," not in entry.level else entry._replace(level="warn") for entry in logged()}
    assert sorted(documented()) == sorted(found)
    assert len(found) > 30


@pytest.mark.parametrize(
    "line", ["_log.warning('it failed: %s', error)", "_log.info(f'{x} is gone')", "_log.error(Fact(text, error=error))"]
)
def test_control_words_that_are_not_constant_are_noticed(line: str) -> None:
    with pytest.raises(ValueError, match="_log"):
        list(calls(line))


@pytest.fixture
def root_logger() -> Iterator[None]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.mark.usefixtures("root_logger")
def test_both_forms_show_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    fact = Fact("it failed", lease=f"{42:016x}", held_bytes=7, error=OSError("no space"), advice="", user=None)
    for form in ("console", "json"):
        start_log("warn", form)
        logging.getLogger("brainctl.here").warning(fact)
    console, line = capsys.readouterr().err.splitlines()
    assert console.endswith(' warn it failed lease=000000000000002a held-bytes=7 error="no space"')
    entry = json.loads(line)
    assert (entry.pop("level"), entry.pop("logger")) == ("warn", "brainctl.here")
    assert entry.pop("ts").endswith("Z")
    assert entry == {"msg": "it failed", "lease": "000000000000002a", "held-bytes": 7, "error": "no space"}


@pytest.mark.usefixtures("root_logger")
@pytest.mark.parametrize("level", ["warn", "debug"])
def test_a_flood_of_the_same_words_is_bounded(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    start_log(level, "json")

    def flood(minute: int, words: str, count: int) -> None:
        for number in range(count):
            record = logging.LogRecord("x", logging.WARNING, "", 1, Fact(words, number=number), None, None)
            record.created = 60.0 * minute
            logging.getLogger().handle(record)

    flood(1, "it failed", 1000)
    flood(1, "another failed", 3)
    flood(2, "it failed", 2)
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    if level == "debug":
        assert len(entries) == 1005
        return
    assert [entry["msg"] for entry in entries] == ["it failed"] * 10 + ["another failed"] * 3 + ["it failed"] * 2
    assert [entry.get("more") for entry in entries[8:11]] == [None, "left out for up to a minute", None]
    assert [entry.get("left-out") for entry in entries[9:]] == [None, None, None, None, 990, None]


def test_no_field_hides_a_name_of_every_entry() -> None:
    names = {name for entry in logged() for name in entry.fields}
    assert names.isdisjoint(("level", "ts", "logger", "msg", "stacktrace"))
    assert "**" not in names
