"""The overviews of packages: each draws the way through its modules, names them all, and works an example that runs."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORKED = ["check", "cli", "client", "commands", "engine/vfs", "flash", "output", "verify"]
"""Packages whose overview has a drawing and an example that is executed."""
UNNAMED = frozenset({"commands"})
"""Packages that are a list of like modules, which `brainctl --help` names."""


def overview(package: str) -> str:
    """Return the docstring of a package of brainctl, by its folder."""
    return str(importlib.import_module("brainctl." + package.replace("/", ".")).__doc__)


def missing(package: str, text: str) -> list[str]:
    """Return the modules and folders of a package that a text does not name."""
    parts = [path.stem for path in sorted((ROOT / "brainctl" / package).iterdir()) if not path.name.startswith("_")]
    return [part for part in parts if not re.search(rf"\b{part}\b", text)]


@pytest.mark.parametrize("package", WORKED)
def test_an_overview_draws_the_way_and_works_an_example(package: str) -> None:
    module = importlib.import_module("brainctl." + package.replace("/", "."))
    assert "-->" in str(module.__doc__)
    results = doctest.testmod(module)
    assert results.attempted > 2
    assert results.failed == 0


@pytest.mark.parametrize("package", [package for package in WORKED if package not in UNNAMED])
def test_an_overview_names_every_module(package: str) -> None:
    assert missing(package, overview(package)) == []


def test_control_a_module_without_a_name_is_noticed() -> None:
    assert missing("flash", overview("flash").replace("endurance", "years")) == ["endurance"]


def test_control_a_wrong_example_is_noticed() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda _text: None).failed == 1
