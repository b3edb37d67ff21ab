"""The list of items in docs/etcd-behaviour.md and the tests with their numbers are the same list."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from tests.peers import ROOT

PAGE = ROOT / "docs" / "etcd-behaviour.md"
COUNTS = {"B1": 8, "B2": 12, "B3": 8, "B4": 12, "B5": 6, "I3": 28}


def listed(page: str) -> list[str]:
    return re.findall(r"^\| ([BI]\d\.\d\d) \|", page, re.MULTILINE)


def numbered(files: Iterable[Path]) -> set[str]:
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and (match := re.match(r"test_([bi]\d)_(\d\d)[a-z]?_", node.name)):
                found.add(f"{match[1].upper()}.{match[2]}")
    return found


def test_every_item_has_a_test_and_every_test_an_item() -> None:
    items = listed(PAGE.read_text())
    assert len(items) == len(set(items))
    assert {part: sum(item.startswith(part) for item in items) for part in COUNTS} == COUNTS
    assert numbered((ROOT / "tests").rglob("test_*.py")) == set(items)


def test_control_a_missing_test_is_found() -> None:
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if file.name != "test_b3_watch.py"]
    assert set(listed(PAGE.read_text())) - numbered(files) >= {"B3.01", "B3.08"}
