"""What the package imports is what pyproject.toml declares, and what is pinned."""

import ast
import re
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(part: str = "runtime") -> set[str]:
    requirements = PROJECT["dependencies"] if part == "runtime" else PROJECT["optional-dependencies"][part]
    return {canonical(re.split(r"[\s<>=;\[~!]", requirement)[0]) for requirement in requirements}


def imported(text: str) -> set[str]:
    """The top-level modules that a source imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"brainctl"}


@cache
def installed() -> Mapping[str, list[str]]:
    """Top-level modules and the packages that provide them; asking takes a tenth of a second."""
    return packages_distributions()


def distributions(modules: set[str]) -> set[str]:
    """The packages that provide modules; a module that is not installed stands for itself."""
    known = installed()
    return {canonical(name) for module in modules for name in known.get(module, [module])}


def test_the_package_imports_only_what_it_declares() -> None:
    used = distributions(set().union(*(imported(p.read_text()) for p in (ROOT / "brainctl").rglob("*.py"))))
    assert used - declared() == declared("plot") | declared("tikv-client")
    assert "typer" in used


def test_an_undeclared_import_is_found() -> None:
    assert distributions(imported("import os, notdeclared.part\nfrom brainctl import errors")) == {"notdeclared"}


def test_everything_declared_is_pinned_with_hashes() -> None:
    pins = (ROOT / "requirements" / "runtime.txt").read_text()
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==\S+ (?:;[^\\]*)?\\\n    (--hash=)", pins, re.MULTILINE))
    assert declared() - {canonical(name) for name in pinned} == set()


def test_what_only_plots_need_is_imported_by_one_module_when_it_draws() -> None:
    importers = {
        path.name
        for path in (ROOT / "brainctl").rglob("*.py")
        if distributions(imported(path.read_text())) & declared("plot")
    }
    assert importers == {"plot.py"}
    top = ast.parse((ROOT / "brainctl" / "output" / "plot.py").read_text()).body
    assert not any("matplotlib" in ast.unparse(node) for node in top if isinstance(node, ast.Import | ast.ImportFrom))
