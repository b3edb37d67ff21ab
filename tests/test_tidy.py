"""The text of the project itself: sizes, and what must not stand in any file."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FORBIDDEN = {
    "an address of a package registry": ("pypi" + ".org", "python" + "hosted", "npm" + "js.", "proxy." + "golang"),
    "a path of one machine": ("/ro" + "ot/", "/wo" + "rk/", "/ho" + "me/", "/tmp" + "/v/"),
}


def tracked() -> list[Path]:
    """The files of the repository that are text and written by hand."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in names.split("\0") if name]
    return [path for path in paths if path.is_file() and path.name != "go.sum" and not path.match("*_pb2.py*")]


def sources() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def long_functions(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            lines = node.end_lineno - node.body[0].lineno + 1  # options of a command are declared in its signature
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines"


def forbidden(text: str) -> Iterator[str]:
    for what, words in FORBIDDEN.items():
        yield from (f"{what}: {word}" for word in words if word in text)


def test_files_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources()}
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    found = {str(path.relative_to(ROOT)): list(long_functions(path.read_text())) for path in sources()}
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = {}
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if words := list(forbidden(text)):
            found[str(path.relative_to(ROOT))] = words
    assert found == {}


@pytest.mark.parametrize("words", FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_search_finds_each_forbidden_word(words: tuple[str, ...]) -> None:
    for word in words:
        assert list(forbidden(f"see https://x.{word}"))


def test_the_measure_finds_a_long_function() -> None:
    body = "    pass\n" * (FUNCTION_LINES_MAX + 1)
    assert list(long_functions(f"def long():\n{body}")) == [f"long has {FUNCTION_LINES_MAX + 1} lines"]
    assert not list(long_functions(f"def short():\n{body.removesuffix('    pass' + chr(10))}"))
