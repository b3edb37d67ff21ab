"""Help texts stand alone: each says what its option does, in which unit, without the lines around it."""

import re
from collections.abc import Iterator

import pytest
from typer.core import TyperCommand, TyperGroup, TyperOption

from brainctl.cli.main import COMMANDS, load, root

LEANING = re.compile(
    r"^(and|or|its?|of|for|they|them|just|as|at|no|there|up to|this|these|those)\b"  # begins in the line above
    r"|\b(there|from it|to it|with it|so (many|much|often|long)|how long|the same|afterwards|who)$"
    r"|\b(so many|so much|so often|so long|let go|hear of|those records|that domain|are told)\b"
)
"""What a text says that only makes sense after its neighbour, or in a riddle."""
UNITS = {
    "duration": re.compile(r"\btime\b"),
    "TIME": re.compile(r"\btime\b"),
    "SECONDS": re.compile(r"\bseconds\b"),
    "bytes": re.compile(r"\bbytes\b"),
    "BYTES": re.compile(r"\bbytes\b"),
}
"""What a text names besides the value, by the metavar of its option."""


def options(name: str, command: TyperCommand | TyperGroup) -> Iterator[tuple[str, TyperOption]]:
    """Yield the options of a command, and of those below it, that --help shows."""
    for param in command.params:
        if isinstance(param, TyperOption) and not param.hidden:
            yield f"{name} {max(param.opts, key=len)}", param
    if isinstance(command, TyperGroup) and name != "brainctl":
        for below, sub in command.commands.items():
            assert isinstance(sub, TyperCommand)
            yield from options(f"{name} {below}", sub)


OPTIONS = [*options("brainctl", root()), *(found for name in COMMANDS for found in options(name, load(name)))]


def faults(option: str, text: str, metavar: str | None) -> list[str]:
    """Return what is wrong with the help of an option."""
    found = []
    if len(text.split()) < 3:
        found.append("says less than three words")
    if LEANING.search(re.sub(r" \[[^\]]*\]$", "", text)):
        found.append("leans on its neighbour")
    if metavar in UNITS and not UNITS[metavar].search(text):
        found.append(f"does not say what a {metavar} is")
    if option.endswith("-bytes") and "bytes" not in text:
        found.append("does not say that it is in bytes")
    return found


def test_the_help_of_each_option_stands_alone() -> None:
    found = {name: faults(name, option.help or "", option.metavar) for name, option in OPTIONS}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert len(found) > 100


def test_the_help_of_each_option_names_its_default_once() -> None:
    for name, option in OPTIONS:
        assert not option.show_default, name
        assert (option.help or "").count("[") == (option.help or "").count("]") <= 2, name
        if isinstance(option.default, str) and option.default:
            assert (option.help or "").endswith(f"[{option.default}]"), name
        if option.secondary_opts:
            assert re.search(r" \[(true|false)\]$", option.help or ""), name


@pytest.mark.parametrize(
    ("text", "metavar"),
    [
        ("and its key", "FILE"),
        ("of the keys that are written", "string"),
        ("at most so many results", "int"),
        ("read and write so much in a second at most (0: no bound)", "BYTES"),
        ("limit for the reads of a scrub (0: no limit)", "BYTES"),
        ("how often watchers that ask for it hear of progress", "TIME"),
        ("only keys that start with it", "string"),
        ("no values", None),
        ("lifetime of an unused token", "SECONDS"),
    ],
)
def test_control_a_riddle_is_noticed(text: str, metavar: str | None) -> None:
    assert faults("--some-flag", text, metavar)
