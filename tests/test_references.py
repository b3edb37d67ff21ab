"""What pages and docstrings name of the code is there: files, members of classes, constants."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("brainctl", "tests", "bench", "scripts")
PAGES = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))]
RPCS = re.compile(r"(KV|Lease|Watch|Maintenance|Auth|Cluster|Lock|Election)\.")
SUFFIXES = (".new", ".run", ".etcd", ".brainctl")
"""Ends of file names of a store, which look like members of a class."""
VARIABLES = re.compile(r"(BRAINCTL|ETCD|ETCDCTL|ETCDUTL|RWF|SEEK)_")
"""Variables of the environment, and flags of the kernel."""


@cache
def code() -> tuple[frozenset[str], frozenset[str]]:
    """Return the paths of all modules, and the names that they define or use, members as "Class.name"."""
    paths, names = set(), set()
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        paths.add("/" + str(path.relative_to(ROOT)))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.ClassDef):
                names.update(f"{node.name}.{member}" for member in members(node))
    return frozenset(paths), frozenset(names)


def members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the names of methods, fields and attributes of a class."""
    for each in ast.walk(node):
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))


def missing(text: str) -> list[str]:
    """Return what a text names between backticks and the code does not have."""
    paths, names = code()
    found = []
    for name in re.findall(r"`([^`\n]+)`", text):
        if re.fullmatch(r"[\w/]+\.py(::\w+)?", name):
            found += [] if any(path.endswith("/" + name.partition("::")[0]) for path in paths) else [name]
        elif re.fullmatch(r"_?[A-Z]\w*\.[a-z_]\w*(\(\))?", name):
            there = name.removesuffix("()") in names or RPCS.match(name) or name.endswith(SUFFIXES)
            found += [] if there else [name]
        elif re.fullmatch(r"_?[A-Z]+_[A-Z0-9_]+", name) and not VARIABLES.match(name) and name not in names:
            found.append(name)
    return found


def test_pages_name_what_is_there() -> None:
    assert [f"{path.relative_to(ROOT)}: {name}" for path in PAGES for name in missing(path.read_text())] == []


def test_docstrings_and_comments_name_what_is_there() -> None:
    paths = [path for path in (ROOT / "brainctl").rglob("*.py") if not path.match("*_pb2.py")]
    assert [f"{path.relative_to(ROOT)}: {name}" for path in paths for name in missing(path.read_text())] == []


@pytest.mark.parametrize("text", ["`engine/heap.py`", "`Engine.fly`", "`MOST_DRAGONS`", "`tests/unit/test_no.py`"])
def test_control_a_name_that_is_not_there_is_found(text: str) -> None:
    assert missing(text)
