"""What a store, a backend or a view is able to do is a property of it: nobody asks for its class."""

import ast
from pathlib import Path

import brainctl

KINDS = {"NodeStore", "EtcdStore", "LocalBackend", "TikvBackend", "ReadView", "LiveView", "StateView", "StoreSource"}
ELSEWHERE = {"cli/command.py"}
"""It asks whether a command is a coroutine function."""


def asked(source: str) -> list[str]:
    """The calls that ask for a kind of store, or whether a function is to be awaited."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            names |= {part.attr for part in ast.walk(node.func) if isinstance(part, ast.Attribute)}
            if "iscoroutinefunction" in names or ("isinstance" in names and names & KINDS):
                found.append(ast.unparse(node))
    return found


def test_nobody_asks_for_the_class_of_a_store() -> None:
    root = Path(brainctl.__file__).parent
    found = {str(path.relative_to(root)): asked(path.read_text()) for path in root.rglob("*.py")}
    assert {name: calls for name, calls in found.items() if calls and name not in ELSEWHERE} == {}


def test_the_check_finds_what_it_looks_for() -> None:
    assert asked("if isinstance(self._store, NodeStore): pass") == ["isinstance(self._store, NodeStore)"]
    assert asked("inspect.iscoroutinefunction(view.get)") == ["inspect.iscoroutinefunction(view.get)"]
    assert asked("isinstance(answer, BrainctlError)") == []
