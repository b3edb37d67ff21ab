"""What a test needs of the machine, found from what it uses: the markers of `tests.peers.MARKERS`, and root.

A test needs a peer when its code, its fixtures, or what they call in the folders tests and bench, ask
`tests.peers.require` for it. Of a fixture with parameters, and of a parametrized test, the parameter says it: the
class of a server, or a name. What needs root is skipped without it (skipif), and the reason says so.
"""

import sys
from collections.abc import Iterable, Iterator
from functools import cache, partial
from inspect import isclass, isfunction, ismodule, unwrap
from types import CodeType

import pytest

from tests.peers import MARKERS, require

FOLDERS = ("tests.", "bench.")
"""Beginnings of the names of modules that are looked into."""


def markers_of(item: pytest.Item) -> set[str]:
    """Return the markers of a test."""
    if not isinstance(item, pytest.Function):
        return set()
    found = set(_of(item.function))
    found |= {"root" for mark in item.iter_markers("skipif") if "needs root" in str(mark.kwargs.get("reason"))}
    for name, definitions in item._fixtureinfo.name2fixturedefs.items():
        if definitions[-1].params is None and name != "request":
            found |= _of(definitions[-1].func)
    for name, value in item.callspec.params.items() if hasattr(item, "callspec") else ():
        found |= _of_parameter(name, value)
    return found


def _of_parameter(name: str, value: object) -> frozenset[str]:
    """Return the markers of a parameter: of a name such as "etcd" or "served-tikv", of a client, of what it is."""
    if isinstance(value, str):
        names = (
            ("go", "node", "java", "python-etcd3") if name == "client" else ("etcd", "etcdctl", "tikv", "served-tikv")
        )
        return frozenset((MARKERS.get(value, value.removeprefix("served-")),)) if value in names else frozenset()
    return _of(value) if isclass(value) or isfunction(value) or isinstance(value, partial) else frozenset()


@cache
def _of(thing: object) -> frozenset[str]:
    """Return the markers of what `thing` reaches in the folders of tests and of measurements."""
    found: set[str] = set()
    seen: set[int] = set()
    left = [thing]
    while left:
        each = left.pop()
        each = each.func if isinstance(each, partial) else each
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isclass(each) and _ours(each):
            left += [*each.__bases__, *vars(each).values()]
            strings = {value for value in vars(each).values() if isinstance(value, str)}
            found |= {MARKERS[name] for name in strings & MARKERS.keys() if _requires(each)}
        elif isinstance(each, property | staticmethod | classmethod):
            left.append(each.fget if isinstance(each, property) else each.__func__)
        elif isfunction(inner := unwrap(each) if callable(each) else each) and _ours(inner):
            names, strings = _words(inner.__code__)
            used = list(_used(names, inner.__globals__))
            if any(value is require for value in used):
                strings |= {value for value in used if isinstance(value, str)}
                found |= {MARKERS[name] for name in strings & MARKERS.keys()}
            left += [value for value in used if isclass(value) or isfunction(value) or isinstance(value, partial)]
    return frozenset(found)


def _ours(thing: object) -> bool:
    return str(getattr(thing, "__module__", "")).startswith(FOLDERS) and thing is not require


def _requires(kind: type) -> bool:
    functions = (unwrap(value) for value in vars(kind).values() if isfunction(value))
    return any(require in _used(_words(each.__code__)[0], each.__globals__) for each in functions)


def _words(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the names and the texts of a function and of those inside it."""
    names, strings = set(code.co_names), {text for text in code.co_consts if isinstance(text, str)}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more = _words(inner)
            names |= more[0]
            strings |= more[1]
    return names, strings


def _used(names: Iterable[str], known: dict[str, object]) -> Iterator[object]:
    """Yield what names of a function are: globals, and attributes of modules of those folders."""
    found = [known[name] for name in names if name in known]
    yield from found
    modules = [value for value in found if ismodule(value)]
    modules += [sys.modules[name] for name in names if name.startswith(FOLDERS) and name in sys.modules]
    for module in modules:
        if module.__name__.startswith(FOLDERS):
            yield from (vars(module)[name] for name in names if name in vars(module))
