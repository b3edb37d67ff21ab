"""The text of the project itself: sizes, bases of classes, and what must not stand in any file.

Classes are put together, not inherited, across files: what a class may touch is visible in its own file. Allowed bases
from another module are protocols, classes without any code, and exceptions.
"""

import ast
import builtins
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


class Bases:
    """The classes of a package with their bases, read from the sources."""

    def __init__(self, sources: dict[str, str]) -> None:
        """Read the sources of modules by name."""
        self.of: dict[str, list[str]] = {}
        """By class, as MODULE.NAME: its bases, in the same way; those from outside the package by name alone."""
        self._interfaces: set[str] = set()
        for module, text in sources.items():
            tree = ast.parse(text)
            known = {name: full for node in ast.walk(tree) for name, full in _imported(node)}
            known |= {node.name: f"{module}.{node.name}" for node in tree.body if isinstance(node, ast.ClassDef)}
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self.of[f"{module}.{node.name}"] = [_resolved(base, known) for base in node.bases]
                    if all(map(_is_abstract, node.body)):
                        self._interfaces.add(f"{module}.{node.name}")

    def inherited(self) -> Iterator[str]:
        """Yield CLASS(BASE) for each base in another module that is no protocol, no interface and no exception."""
        for name, bases in self.of.items():
            for base in bases:
                module = name.rpartition(".")[0]
                if base in self.of and base.rpartition(".")[0] != module and not self._harmless(base):
                    yield f"{name}({base})"

    def _harmless(self, name: str) -> bool:
        return "Protocol" in self.of[name] or name in self._interfaces or self._raises(name)

    def _raises(self, name: str) -> bool:
        found = getattr(builtins, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return True
        return any(self._raises(base) for base in self.of.get(name, ()))


def _is_abstract(part: ast.stmt) -> bool:
    """Whether a statement of a class body is an abstract method or a docstring."""
    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
        return any(ast.unparse(mark).endswith("abstractmethod") for mark in part.decorator_list)
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield what an import binds, with where it is from; modules and names alike, without the name of the package."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "brainctl":
        module = node.module.removeprefix("brainctl").removeprefix(".")
        for name in node.names:
            yield name.asname or name.name, f"{module}.{name.name}".removeprefix(".")


def _resolved(base: ast.expr, known: dict[str, str]) -> str:
    """Return a base class as MODULE.NAME, or as it is written when it is from outside the package."""
    while isinstance(base, ast.Subscript):
        base = base.value
    first, dot, rest = ast.unparse(base).partition(".")
    return known.get(first, first) + dot + rest


def test_no_class_has_a_base_in_another_file() -> None:
    sources = {
        ".".join(path.relative_to(ROOT / "brainctl").with_suffix("").parts): path.read_text()
        for path in (ROOT / "brainctl").rglob("*.py")
        if "etcdpb" not in path.parts
    }
    assert list(Bases(sources).inherited()) == []


def test_the_search_finds_bases_and_passes_over_protocols_and_exceptions() -> None:
    interface = "class Door:\n    @abstractmethod\n    def open(self): ...\n"
    plain = "class Part:\n    size = 1\nclass Face(Protocol): ...\nclass Bad(OSError): ...\n"
    users = "class A(P[int]): x = 1\nclass B(one.Part): ...\nclass C(Face): ...\nclass D(Bad): ...\nclass E(A): ...\n"
    found = Bases(
        {
            "one": f"from typing import Protocol\n{plain}{interface}",
            "two": f"from brainctl import one\nfrom brainctl.one import Bad, Door, Face, Part as P\n{users}"
            "class G(Door): ...\n",
            "three": "from brainctl.two import D\nclass F(D): ...\n",
        }
    )
    assert set(found.inherited()) == {"two.A(one.Part)", "two.B(one.Part)"}


def layouts(text: str) -> Iterator[str]:
    """Where a module takes bytes apart, or puts them together, by the places of fields."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ImportFrom(module="struct") | ast.Import(names=[ast.alias(name="struct")]):
                yield f"line {node.lineno}: struct"
            case ast.Attribute(attr="unpack_from" | "pack_into" | "iter_unpack"):
                yield f"line {node.lineno}: {node.attr}"
            case ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name), attr="pack" | "unpack"):
                if name.isupper():
                    yield f"line {node.lineno}: {name}.{node.attr}"


def test_only_the_formats_of_the_engine_know_where_fields_are() -> None:
    engine = ROOT / "brainctl" / "engine"
    paths = [path for path in engine.rglob("*.py") if "format" not in path.relative_to(engine).parts]
    found = {str(path.relative_to(ROOT)): list(layouts(path.read_text())) for path in paths}
    assert {name: places for name, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from struct import Struct",
        "import struct",
        "PLACE.unpack_from(data)",
        "one.PLACE.unpack_from",
        "x.HEADER.pack(1)",
    ],
)
def test_a_layout_outside_the_formats_is_found(line: str) -> None:
    assert len(list(layouts(line))) == 1


def test_functions_of_a_format_are_no_layouts() -> None:
    assert list(layouts("batch.pack(header, seed)\nread_place(record, at)\n")) == []
